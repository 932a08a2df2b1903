// An app that takes the people model and leaves the 21 classes out: the first opens, and the error for the second names what to add.

import Silhouette

print("people:", try Model.people().labels.joined(separator: ", "))
do {
    print("21 classes:", try Model.voc21().labels.count, "labels")
} catch SilhouetteError.invalidModel(let problem) {
    print("21 classes: \(problem.reason); \(problem.advice)")
}
