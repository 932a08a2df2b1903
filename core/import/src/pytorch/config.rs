//! Reads from Hugging Face's `config.json` and `preprocessor_config.json` what a MobileNetV2's tensors do not contain.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use silhouette_network::spec::Padding;

use crate::error::ImportError;

/// A `config.json`, completed by the defaults of the library that reads it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) output_stride: usize,
    pub(super) padding: Padding,
    /// Of the extractor; the head's is [`HEAD_EPSILON`].
    pub(super) epsilon: f64,
    pub(super) size: usize,
    /// One per class, if they are all there.
    pub(super) labels: Option<Vec<String>>,
}

/// Of batch norm in the head, whatever the configuration.
pub(super) const HEAD_EPSILON: f64 = 1e-5;

/// Mean and standard deviation of a pixel from 0 to 255, and the side of the input, where a `preprocessor_config.json` has
/// them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Processor {
    pub(super) mean: Option<[f32; 3]>,
    pub(super) std: Option<[f32; 3]>,
    pub(super) size: Option<usize>,
}

/// A file's JSON object.
struct Object<'a> {
    file: &'static str,
    fields: &'a Map<String, Value>,
}

impl Config {
    /// # Errors
    /// [`ImportError::Damaged`] for other than JSON and values of other types; [`ImportError::Unsupported`] for networks
    /// that a specification cannot express.
    pub(super) fn parse(text: &str) -> Result<Self, ImportError> {
        let value = json("config.json", text)?;
        let object = Object::new("config.json", &value)?;
        let kind = object.text("model_type")?.unwrap_or("mobilenet_v2");
        if kind != "mobilenet_v2" {
            return Err(ImportError::UnknownNetwork {
                place: "config.json".into(),
                problem: format!("it is for a '{}', not a mobilenet_v2", kind.escape_debug()),
            });
        }
        object.only("hidden_act", object.text("hidden_act")?.is_none_or(|act| act == "relu6"), "relu6 is")?;
        object.only("num_channels", object.whole("num_channels")?.is_none_or(|n| n == 3), "3 is")?;
        object.only("first_layer_is_expansion", object.flag("first_layer_is_expansion")?.unwrap_or(true), "true is")?;
        let padding = if object.flag("tf_padding")?.unwrap_or(true) { Padding::Same } else { Padding::Symmetric };
        Ok(Self {
            output_stride: object.whole("output_stride")?.unwrap_or(32),
            padding,
            epsilon: object.number("layer_norm_eps")?.unwrap_or(1e-3),
            size: object.whole("image_size")?.unwrap_or(224),
            labels: object.labels()?,
        })
    }
}

impl Processor {
    /// # Errors
    /// [`ImportError::Damaged`] for other than JSON and values of other types.
    pub(super) fn parse(text: &str) -> Result<Self, ImportError> {
        let value = json("preprocessor_config.json", text)?;
        let object = Object::new("preprocessor_config.json", &value)?;
        // Pixels are multiplied by it (by default 1 / 255) before mean and deviation.
        let rescale = if object.flag("do_rescale")?.unwrap_or(true) {
            object.number("rescale_factor")?.unwrap_or(1.0 / 255.0)
        } else {
            1.0
        };
        if object.flag("do_normalize")? == Some(false) {
            let std = [(1.0 / rescale) as f32; 3];
            return Ok(Self { mean: Some([0.0; 3]), std: Some(std), size: object.size()? });
        }
        let pixels = |values: Option<[f64; 3]>| values.map(|values| values.map(|value| (value / rescale) as f32));
        Ok(Self {
            mean: pixels(object.three("image_mean")?),
            std: pixels(object.three("image_std")?),
            size: object.size()?,
        })
    }
}

fn json(file: &'static str, text: &str) -> Result<Value, ImportError> {
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| damaged(file, &format!("not JSON: {error}")))
}

fn damaged(file: &'static str, problem: &str) -> ImportError {
    ImportError::Damaged { format: "Hugging Face", place: file.into(), problem: problem.into() }
}

impl<'a> Object<'a> {
    fn new(file: &'static str, value: &'a Value) -> Result<Self, ImportError> {
        let fields = value.as_object().ok_or_else(|| damaged(file, "it is not an object"))?;
        Ok(Self { file, fields })
    }

    /// A field that is there and not null.
    fn field<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                read(value).map(Some).ok_or_else(|| damaged(self.file, &format!("\"{name}\" is not {kind}")))
            }
        }
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, ImportError> {
        self.field(name, "a string", Value::as_str)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, ImportError> {
        self.field(name, "true or false", Value::as_bool)
    }

    fn whole(&self, name: &str) -> Result<Option<usize>, ImportError> {
        self.field(name, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    fn number(&self, name: &str) -> Result<Option<f64>, ImportError> {
        self.field(name, "a number above 0", |value| value.as_f64().filter(|n| n.is_finite() && *n > 0.0))
    }

    fn three(&self, name: &str) -> Result<Option<[f64; 3]>, ImportError> {
        self.field(name, "a list of three numbers", |value| {
            let values: Option<Vec<f64>> = value.as_array()?.iter().take(4).map(Value::as_f64).collect();
            values?.try_into().ok()
        })
    }

    /// The side of the square that images are cropped to, or else resized to.
    fn size(&self) -> Result<Option<usize>, ImportError> {
        let side = |name: &str| {
            self.field(name, "a size", |value| {
                let whole = |value: &Value| usize::try_from(value.as_u64()?).ok();
                let sides = [value, &value["height"], &value["width"], &value["shortest_edge"]].map(whole);
                match sides {
                    [Some(side), ..] | [None, _, _, Some(side)] => Some(Some(side)),
                    [None, Some(height), Some(width), None] => Some((height == width).then_some(height)),
                    _ => None,
                }
            })
        };
        let crops = self.flag("do_center_crop")?.unwrap_or(true);
        let crop = side("crop_size")?.flatten();
        let size = side("size")?.flatten();
        Ok(crop.filter(|_| crops).or(size))
    }

    /// The labels of `id2label`, in the order of their numbers; none if one is missing.
    fn labels(&self) -> Result<Option<Vec<String>>, ImportError> {
        let Some(object) = self.field("id2label", "an object", Value::as_object)? else {
            // Not written for two classes without names.
            return Ok(Some(["LABEL_0", "LABEL_1"].map(String::from).to_vec()));
        };
        let mut labels = BTreeMap::new();
        for (number, label) in object {
            let (Ok(number), Some(label)) = (number.parse::<usize>(), label.as_str()) else {
                return Err(damaged(self.file, "\"id2label\" is not an object of numbers and labels"));
            };
            labels.insert(number, label.to_owned());
        }
        let whole = labels.keys().copied().eq(0..labels.len());
        Ok(whole.then(|| labels.into_values().collect()))
    }

    fn only(&self, name: &str, holds: bool, only: &str) -> Result<(), ImportError> {
        if holds {
            return Ok(());
        }
        let value = self.fields.get(name).map(|value| value.to_string().chars().take(40).collect::<String>());
        Err(ImportError::Unsupported {
            what: format!("\"{name}\": {} in {}", value.unwrap_or_default().escape_debug(), self.file),
            instead: format!("only {only}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_and_what_is_not() {
        let config = Config::parse(
            r#"{"model_type": "mobilenet_v2", "output_stride": 16, "tf_padding": false, "layer_norm_eps": 0.002,
                "image_size": 513, "id2label": {"1": "b", "0": "a"}, "something": [{}]}"#,
        );
        let said = Config {
            output_stride: 16,
            padding: Padding::Symmetric,
            epsilon: 0.002,
            size: 513,
            labels: Some(vec!["a".into(), "b".into()]),
        };
        assert_eq!(config.unwrap(), said);
        let labels = Some(vec!["LABEL_0".into(), "LABEL_1".into()]);
        let defaults = Config { output_stride: 32, padding: Padding::Same, epsilon: 1e-3, size: 224, labels };
        assert_eq!(Config::parse("{}").unwrap(), defaults);
        let text = r#"{"id2label": {"1": "a", "2": "b"}, "output_stride": null}"#;
        assert_eq!(Config::parse(text).unwrap(), Config { labels: None, ..defaults });

        let processor = |text: &str| Processor::parse(text).unwrap();
        let half = processor(
            r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.25], "crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 256}}"#,
        );
        assert_eq!((half.mean, half.std, half.size), (Some([127.5; 3]), Some([127.5, 127.5, 63.75]), Some(224)));
        let uncropped = processor(r#"{"do_center_crop": false, "crop_size": 224, "size": 513, "do_normalize": false}"#);
        assert_eq!((uncropped.mean, uncropped.std, uncropped.size), (Some([0.0; 3]), Some([255.0; 3]), Some(513)));
        assert_eq!(processor("{}"), Processor::default());
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (text, part) in [
            ("", "not JSON"),
            ("[]", "not an object"),
            (&deep, "not JSON"),
            (r#"{"output_stride": 1e300}"#, "\"output_stride\" is not a whole number"),
            (r#"{"output_stride": -8}"#, "\"output_stride\" is not"),
            (r#"{"layer_norm_eps": -1}"#, "\"layer_norm_eps\" is not"),
            (r#"{"tf_padding": "yes"}"#, "\"tf_padding\" is not true or false"),
            (r#"{"id2label": {"x": "a"}}"#, "id2label"),
            (r#"{"id2label": ["a"]}"#, "id2label"),
            (r#"{"model_type": "segformer"}"#, "'segformer', not a mobilenet_v2"),
            (r#"{"hidden_act": "silu"}"#, "\"silu\\"),
            (r#"{"num_channels": 4}"#, "num_channels"),
            (r#"{"first_layer_is_expansion": false}"#, "first_layer_is_expansion"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            let expected = part.trim_end_matches('\\');
            assert!(error.contains(expected.trim_start_matches('"')), "{text}: {error}");
        }
        for text in [r#"{"image_mean": [1, 2]}"#, r#"{"image_std": 3}"#, r#"{"size": "x"}"#, r#"{"rescale_factor": 0}"#]
        {
            assert!(Processor::parse(text).is_err(), "{text}");
        }
    }
}
