//! The effects of `segment` and `video`, as words of the command line.

use std::path::PathBuf;

/// One image to write per photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Mask,
    Binary,
    Overlay,
    Cutout,
    Blur,
    Replace(Behind),
    Confidence(String),
    GeoJson,
    Coco,
}

/// What replaces the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    Image(PathBuf),
    Color([u8; 3]),
}

/// What kind of file an effect's output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Any format, if it is opaque.
    Picture,
    /// Its values mean something: only without loss, as PNG.
    Values,
    /// JSON.
    Text,
}

impl Effect {
    /// The part of the output's file name after the photo's, without the extension of an image.
    pub(crate) fn suffix(&self) -> String {
        match self {
            Self::Mask => "mask".into(),
            Self::Binary => "binary".into(),
            Self::Overlay => "overlay".into(),
            Self::Cutout => "cutout".into(),
            Self::Blur => "blur".into(),
            Self::Replace(_) => "replace".into(),
            Self::Confidence(class) => format!("confidence-{class}"),
            Self::GeoJson => "geojson".into(),
            Self::Coco => "coco.json".into(),
        }
    }

    pub(crate) fn content(&self) -> Content {
        match self {
            Self::Overlay | Self::Cutout | Self::Blur | Self::Replace(_) => Content::Picture,
            Self::Mask | Self::Binary | Self::Confidence(_) => Content::Values,
            Self::GeoJson | Self::Coco => Content::Text,
        }
    }

    /// Whether its borders are soft, and may follow the image's.
    pub(crate) fn is_soft(&self) -> bool {
        matches!(self, Self::Cutout | Self::Blur | Self::Replace(_))
    }
}

/// Parses `--effect`.
pub(crate) fn effect(text: &str) -> Result<Effect, String> {
    let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
    match (name, value) {
        ("mask", None) => Ok(Effect::Mask),
        ("binary", None) => Ok(Effect::Binary),
        ("overlay", None) => Ok(Effect::Overlay),
        ("cutout", None) => Ok(Effect::Cutout),
        ("blur", None) => Ok(Effect::Blur),
        ("geojson", None) => Ok(Effect::GeoJson),
        ("coco", None) => Ok(Effect::Coco),
        ("replace", Some(text)) if text.starts_with('#') => {
            color(text).map(|color| Effect::Replace(Behind::Color(color)))
        }
        ("replace", Some(path)) if !path.is_empty() => Ok(Effect::Replace(Behind::Image(path.into()))),
        ("confidence", Some(class)) if !class.is_empty() => Ok(Effect::Confidence(class.into())),
        ("replace", _) => Err("replace needs an image or a colour: replace=IMG, replace=#rrggbb".into()),
        ("confidence", _) => Err("confidence needs a class: confidence=CLASS".into()),
        _ => Err(
            "expected mask, binary, overlay, cutout, blur, replace=IMG, replace=#rrggbb, confidence=CLASS, geojson, \
                  coco"
                .into(),
        ),
    }
}

/// `#rrggbb` or `#rgb`.
fn color(text: &str) -> Result<[u8; 3], String> {
    let wrong = || format!("{text} is not a colour: write #rrggbb, such as #00ff00 (an image of that name: ./{text})");
    let digits = text.strip_prefix('#').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let digits = digits.ok_or_else(wrong)?;
    let value = |part: &str| u8::from_str_radix(part, 16).map_err(|_| wrong());
    match digits.len() {
        6 => Ok([value(&digits[..2])?, value(&digits[2..4])?, value(&digits[4..])?]),
        3 => Ok([17 * value(&digits[..1])?, 17 * value(&digits[1..2])?, 17 * value(&digits[2..])?]),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_parse_or_say_what_they_want() {
        let image = |path: &str| Effect::Replace(Behind::Image(path.into()));
        assert_eq!(effect("replace=a=b.png"), Ok(image("a=b.png")));
        assert_eq!(effect("replace=./#fff"), Ok(image("./#fff")));
        assert_eq!(effect("replace=#0aF"), Ok(Effect::Replace(Behind::Color([0, 170, 255]))));
        assert_eq!(effect("replace=#00ff7f"), Ok(Effect::Replace(Behind::Color([0, 255, 127]))));
        assert_eq!(effect("confidence=person"), Ok(Effect::Confidence("person".into())));
        for wrong in
            ["replace", "replace=", "replace=#", "replace=#12345", "replace=#gggggg", "replace=#é12", "confidence"]
        {
            assert!(effect(wrong).is_err(), "{wrong}");
        }
        for wrong in ["mask=1", "cut-out", ""] {
            assert!(effect(wrong).unwrap_err().contains("binary"), "{wrong}");
        }
    }
}
