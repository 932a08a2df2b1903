//! Ground truth: class indices from a PNG as stored (its palette is only for display), or classes identified by their
//! colours if there are only colours.

use super::dataset::Item;
use crate::failure::Failure;
use silhouette::eval::VOID;
use silhouette::files::Photo;
use silhouette::{Mask, Palette, Size};
use silhouette_files::open_regular;
use silhouette_kernels::memory::filled;
use std::collections::HashMap;
use std::io::BufReader;
use std::path::Path;

/// Maximum side of a mask: a larger file is not a mask of a photo.
const MAX_SIDE: u32 = 16_384;

/// Maximum length of a mask file.
const MAX_FILE: u64 = 1 << 30;

/// Not labelled, as in training data; not scored either, like [`VOID`].
const UNLABELLED: u8 = 254;

/// The meaning of the values and colours of masks.
#[derive(Debug)]
pub(crate) struct Key {
    /// Number of scored classes.
    classes: usize,
    /// The value of the foreground, if there is only foreground and background (0).
    foreground: Option<u8>,
    /// Whether values between the two are shares of the foreground.
    soft: bool,
    colours: HashMap<[u8; 3], u8>,
}

impl Key {
    /// For `classes` scored classes; `scored_as` maps each of the model's classes, which has a colour in `palette`, to
    /// the scored one.
    pub(crate) fn new(classes: usize, foreground: Option<u8>, scored_as: &[u8], palette: &Palette) -> Self {
        let mut colours = HashMap::from([(palette.color(VOID), VOID)]);
        // If two classes share a colour, it belongs to the first.
        for (class, &scored) in (0..=u8::MAX).zip(scored_as).rev() {
            colours.insert(palette.color(class), scored);
        }
        Self { classes, foreground, soft: false, colours }
    }

    /// For grey alphas, in which 0 is background and `foreground` is foreground. Their values stay as they are.
    pub(crate) fn alpha(foreground: u8) -> Self {
        Self { classes: 0, foreground: Some(foreground), soft: true, colours: HashMap::new() }
    }

    /// The class that a value represents.
    fn value(&self, value: u8) -> Result<u8, String> {
        match self.foreground {
            Some(foreground) if self.soft && (value <= foreground || value == VOID) => Ok(value),
            Some(foreground) if self.soft => Err(format!(
                "a pixel is {value}, which is more than {foreground} (foreground), and not 255 (not scored)"
            )),
            Some(foreground) if value == foreground => Ok(1),
            Some(_) if value == 0 || value == VOID => Ok(value),
            Some(foreground) => Err(format!(
                "a pixel is {value}, which is neither 0 (background) nor {foreground} (foreground), nor 255 (not scored)"
            )),
            None if usize::from(value) < self.classes || value >= UNLABELLED => Ok(value),
            None => Err(format!(
                "a pixel is of class {value}, and classes 0 to {} are scored; --labels says what a mask's indices mean, \
                 --foreground which value is the foreground",
                self.classes - 1
            )),
        }
    }

    /// The class that a colour represents.
    fn colour(&self, [r, g, b]: [u8; 3]) -> Result<u8, String> {
        if self.foreground.is_some() {
            return if r == g && g == b {
                self.value(r)
            } else {
                Err(format!("a pixel is ({r}, {g}, {b}), but --foreground needs grey"))
            };
        }
        self.colours.get(&[r, g, b]).copied().ok_or_else(|| {
            format!(
                "a mask in RGB is read by the colours of the model's classes, and ({r}, {g}, {b}) is none of them; write class \
                 indices (palette or grey PNG), or, of black and white, give --foreground 255"
            )
        })
    }
}

/// A mask's pixels as stored.
#[derive(Debug)]
enum Pixels {
    Values(Vec<u8>),
    Colours(Vec<[u8; 3]>),
}

/// Reads a mask: a palette or grey PNG of at most 8 bits, or an RGB one.
///
/// # Errors
/// A problem with the file, with its name.
pub(crate) fn read(path: &Path, key: &Key) -> Result<Mask, Failure> {
    let (width, height, pixels) = stored(path)?;
    let wrong = |text: String| Failure::new(path, text);
    let classes = match pixels {
        Pixels::Values(mut values) => {
            let mut meaning = [None; 256];
            for value in &mut values {
                let known = &mut meaning[usize::from(*value)];
                *value = match *known {
                    Some(class) => class,
                    None => *known.insert(key.value(*value).map_err(wrong)?),
                };
            }
            values
        }
        Pixels::Colours(colours) => {
            colours.into_iter().map(|colour| key.colour(colour)).collect::<Result<_, _>>().map_err(wrong)?
        }
    };
    Ok(Mask { width, height, classes })
}

/// The kind of a mask according to its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only 0.
    Empty,
    /// 0 and 255, or only 255: a white foreground, or an image in which only unscored pixels are labelled.
    BlackAndWhite,
    /// It has classes, or colours.
    Classes,
}

/// An image and its mask, of the same size.
pub(crate) fn with_photo(item: &Item, key: &Key) -> Result<(Photo, Mask), Failure> {
    // The labels first: they are quick to read, and necessary for scoring.
    let mask = read(&item.mask, key)?;
    let photo = Photo::open(&item.image).map_err(|error| Failure::new(&item.image, error))?;
    let size = photo.frame().map_err(|error| Failure::new(&item.image, error))?.upright_size();
    if (Size { height: mask.height, width: mask.width }) != size {
        let text =
            format!("the mask is {}x{}, but the image is {}x{}", mask.width, mask.height, size.width, size.height);
        return Err(Failure::new(&item.mask, text));
    }
    Ok((photo, mask))
}

/// Inspects a mask; `None` if it cannot be read.
pub(crate) fn kind(path: &Path) -> Option<Kind> {
    let Pixels::Values(values) = stored(path).ok()?.2 else { return Some(Kind::Classes) };
    Some(match (values.contains(&VOID), values.iter().any(|&v| v != 0 && v != VOID)) {
        (_, true) => Kind::Classes,
        (true, false) => Kind::BlackAndWhite,
        (false, false) => Kind::Empty,
    })
}

/// The labels from a file or a set: what a mask's indices mean.
///
/// # Errors
/// If it cannot be read, or has no or too many labels.
pub(super) fn listed(path: &Path) -> Result<Vec<String>, Failure> {
    let labels: Vec<_> = crate::labels::read(path)?.names.into_iter().filter(|label| !label.is_empty()).collect();
    if !(1..=254).contains(&labels.len()) {
        return Err(Failure::new(path, format!("it has {} labels; 1 to 254 are supported", labels.len())));
    }
    Ok(labels)
}

/// Masks with only the values 0 and 255 have a white foreground. If they were read as classes, 255 would not be scored,
/// and every score would cover only the background. Reported before anything is computed; the first mask with a class in it (usually
/// the very first) shows that the masks are of another kind.
///
/// # Errors
/// With the first white mask.
pub(super) fn refuse_black_and_white(items: &[Item]) -> Result<(), Failure> {
    let mut white = None;
    for item in items {
        match kind(&item.mask) {
            Some(Kind::Classes) => return Ok(()),
            Some(Kind::BlackAndWhite) => drop(white.get_or_insert(&item.mask)),
            Some(Kind::Empty) | None => {}
        }
    }
    white.map_or(Ok(()), |mask| {
        let text = "this mask and all others have only the values 0 and 255, and 255 is not scored; if it is the foreground, \
                    pass --foreground 255";
        Err(Failure::new(mask, text))
    })
}

/// Columns, rows and pixels.
fn stored(path: &Path) -> Result<(usize, usize, Pixels), Failure> {
    let wrong = |text: String| Failure::new(path, text);
    let opened = open_regular(path, MAX_FILE).map_err(|error| match beside(path) {
        Some(other) if !path.exists() => {
            wrong(format!("there is no such file, only {other}; a mask must be a PNG, which keeps the exact values"))
        }
        _ => wrong(error.to_string()),
    })?;
    let mut decoder = png::Decoder::new(BufReader::new(opened.file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    // When decompressed, a few bytes of these chunks may become gigabytes.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(|error| wrong(error.to_string()))?;
    let info = reader.info();
    let width = info.width;
    let height = info.height;
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(wrong(format!("a mask of {width}x{height} is larger than {MAX_SIDE}x{MAX_SIDE}")));
    }
    let (channels, depth) = match (info.color_type, info.bit_depth) {
        (png::ColorType::Indexed | png::ColorType::Grayscale, depth) if depth != png::BitDepth::Sixteen => {
            (1, depth as usize)
        }
        (png::ColorType::Rgb, png::BitDepth::Eight) => (3, 8),
        (png::ColorType::Rgba, png::BitDepth::Eight) => (4, 8),
        (color, depth) => {
            return Err(wrong(format!(
                "a mask holds class indices (palette or grey, 8 bits) or their colours (RGB, 8 bits), this PNG is {color:?} of \
                 {depth:?}"
            )));
        }
    };
    let width = width as usize;
    let height = height as usize;
    let bytes = reader.output_buffer_size().ok_or_else(|| wrong("its size overflows".into()))?;
    let mut packed = filled(bytes, 0, "a mask").map_err(|error| Failure::new(path, error))?;
    reader.next_frame(&mut packed).map_err(|error| wrong(error.to_string()))?;
    if channels > 1 {
        let pixels = packed.chunks_exact(channels).take(width * height);
        if pixels.clone().any(|pixel| pixel.get(3).is_some_and(|&alpha| alpha != 255)) {
            return Err(wrong("some of its pixels are transparent; write the mask without alpha".into()));
        }
        return Ok((width, height, Pixels::Colours(pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())));
    }
    let values = if depth == 8 {
        packed.truncate(width * height);
        packed
    } else {
        let stride = (width * depth).div_ceil(8);
        let pixel = |row: &[u8], x: usize| row[x * depth / 8] >> (8 - depth - x * depth % 8) & ((1 << depth) - 1);
        packed.chunks_exact(stride).take(height).flat_map(|row| (0..width).map(move |x| pixel(row, x))).collect()
    };
    Ok((width, height, Pixels::Values(values)))
}

/// The name of a file that differs from `path`, which ends in `.png`, only in its extension.
fn beside(path: &Path) -> Option<String> {
    let endings = ["PNG", "jpg", "jpeg", "JPG", "JPEG", "webp", "bmp", "gif", "tif", "tiff", "npy", "mat"];
    let other = endings.into_iter().map(|ending| path.with_extension(ending)).find(|other| other.exists())?;
    Some(other.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    fn written(
        folder: &Folder,
        name: &str,
        color: png::ColorType,
        depth: png::BitDepth,
        data: &[u8],
        palette: bool,
    ) -> std::path::PathBuf {
        let path = folder.path(&format!("{name}.png"));
        let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 3, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if palette {
            encoder.set_palette(vec![9; 768]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        path
    }

    fn key(classes: usize, foreground: Option<u8>) -> Key {
        let scored_as: Vec<u8> = (0..classes as u8).collect();
        Key::new(classes, foreground, &scored_as, &Palette::voc())
    }

    #[test]
    fn indices_not_colours_at_every_depth() {
        use png::{BitDepth, ColorType};
        let folder = Folder::new();
        for (name, color, depth, data, classes) in [
            ("p8", ColorType::Indexed, BitDepth::Eight, vec![0, 15, 255, 254, 1, 2], [0, 15, 255, 254, 1, 2]),
            ("p4", ColorType::Indexed, BitDepth::Four, vec![0x1f, 0x20, 0x34, 0x50], [1, 15, 2, 3, 4, 5]),
            ("p2", ColorType::Indexed, BitDepth::Two, vec![0b00_01_10_00, 0b11_00_11_00], [0, 1, 2, 3, 0, 3]),
            ("p1", ColorType::Indexed, BitDepth::One, vec![0b1010_0000, 0b0100_0000], [1, 0, 1, 0, 1, 0]),
            ("g8", ColorType::Grayscale, BitDepth::Eight, vec![3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8]),
        ] {
            let path = written(&folder, name, color, depth, &data, color == ColorType::Indexed);
            let labels = read(&path, &key(21, None)).unwrap();
            assert_eq!((labels.width, labels.height, &labels.classes[..]), (3, 2, &classes[..]), "{name}");
        }
    }

    #[test]
    fn what_is_no_mask_is_named() {
        let folder = Folder::new();
        let read = |path: &Path| read(path, &key(21, None));
        let deep = written(&folder, "rgb16", png::ColorType::Rgb, png::BitDepth::Sixteen, &[0; 36], false);
        assert!(read(&deep).unwrap_err().to_string().contains("class indices"));
        let missing = folder.path("missing.png");
        assert!(read(&missing).unwrap_err().to_string().contains("missing.png"));
        let cut = folder.path("cut.png");
        let whole =
            std::fs::read(written(&folder, "whole", png::ColorType::Grayscale, png::BitDepth::Eight, &[0; 6], false))
                .unwrap();
        std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
        assert!(read(&cut).is_err());
    }

    #[test]
    fn colours_are_the_models_or_an_error() {
        const BLACK: [u8; 3] = [0; 3];
        let folder = Folder::new();
        let rgb = |name: &str, colours: [[u8; 3]; 6]| {
            written(&folder, name, png::ColorType::Rgb, png::BitDepth::Eight, colours.as_flattened(), false)
        };
        let person = rgb("person", [BLACK, [192, 128, 128], BLACK, [224, 224, 192], [128, 0, 0], BLACK]);
        assert_eq!(read(&person, &key(21, None)).unwrap().classes, [0, 15, 0, 255, 1, 0]);
        // The second of two scored classes is the person.
        let mut scored_as = [0; 21];
        scored_as[15] = 1;
        let two = Key::new(2, None, &scored_as, &Palette::voc());
        assert_eq!(read(&person, &two).unwrap().classes, [0, 1, 0, 255, 0, 0]);
        let white = rgb("white", [BLACK, [255; 3], BLACK, BLACK, BLACK, BLACK]);
        let error = read(&white, &key(21, None)).unwrap_err().to_string();
        assert!(error.contains("(255, 255, 255)") && error.contains("--foreground 255"), "{error}");
        assert_eq!(read(&white, &key(2, Some(255))).unwrap().classes, [0, 1, 0, 0, 0, 0]);
        assert!(read(&person, &key(2, Some(255))).unwrap_err().to_string().contains("(192, 128, 128)"));
        let mut clear = [[0, 0, 0, 255]; 6];
        clear[3][3] = 254;
        let clear = written(&folder, "clear", png::ColorType::Rgba, png::BitDepth::Eight, clear.as_flattened(), false);
        assert!(read(&clear, &key(21, None)).unwrap_err().to_string().contains("alpha"));
    }

    #[test]
    fn values_are_classes_the_foreground_or_an_error() {
        let folder = Folder::new();
        let grey = |name: &str, data: &[u8]| {
            written(&folder, name, png::ColorType::Grayscale, png::BitDepth::Eight, data, false)
        };
        let soft = grey("soft", &[0, 128, 255, 0, 0, 0]);
        let error = read(&soft, &key(2, Some(255))).unwrap_err().to_string();
        assert!(error.contains("128") && error.contains("neither 0"), "{error}");
        assert_eq!(read(&soft, &key(2, Some(128))).unwrap().classes, [0, 1, 255, 0, 0, 0]);
        let error = read(&soft, &key(21, None)).unwrap_err().to_string();
        assert!(error.contains("class 128") && error.contains("0 to 20"), "{error}");
        assert_eq!(kind(&soft), Some(Kind::Classes));
        assert_eq!(kind(&grey("white", &[0, 255, 255, 0, 0, 0])), Some(Kind::BlackAndWhite));
        assert_eq!(kind(&grey("none", &[0; 6])), Some(Kind::Empty));
        assert_eq!(kind(Path::new("absent.png")), None);
    }
}
