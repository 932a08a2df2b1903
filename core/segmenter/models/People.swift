// The target SilhouettePeople of the Swift package: its resource is silhouette-person.safetensors. SwiftPM takes resources only from a
// target's own folder, wants a source file in it, and the weights should be in the repository only once.
