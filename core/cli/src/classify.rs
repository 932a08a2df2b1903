//! `silhouette classify`: classifies photos.

use crate::args::Classify;
use crate::failure::Failure;
use crate::inputs::{Inputs, Reading};
use crate::load;
use crate::photos::{self, Report};
use serde_json::{Value, json};
use silhouette::Classifier;

/// Runs the command.
///
/// # Errors
/// A failure that stops all photos; otherwise an empty list if any photo failed.
pub(crate) fn classify(args: &Classify) -> Result<(), Vec<Failure>> {
    let model = load::named(&args.engine).map_err(|failure| vec![failure])?;
    let classifier = Classifier::new(&model, &load::options(&args.engine))
        .map_err(|error| vec![load::about(&args.engine, &error)])?;
    let reading = Reading::new(args.lenient, None);
    let inputs = Inputs::of(&args.photos, None).map_err(|failure| vec![failure])?;
    photos::each(&inputs, args.json, |_, path| {
        let photo = reading.open(path).map_err(|failure| vec![failure])?;
        let named = || -> silhouette::Result<_> { classifier.classify(&photo.frame()?, args.top) };
        let classes = named().map_err(|error| vec![Failure::new(path, error)])?;
        let text: Vec<String> =
            classes.iter().map(|class| format!("{} {:.1} %", class.label, class.probability * 100.0)).collect();
        let json: Vec<Value> = classes
            .iter()
            .map(|class| json!({ "class": class.class, "label": class.label, "probability": class.probability }))
            .collect();
        Ok(Report { text: text.join(", "), json: json!({ "classes": json }) }.of(&photo))
    })
}
