//! What a file is, by its first bytes: the formats that are read, and those that people also have, each with its name and the command that
//! converts it.

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
}

/// What a file is.
///
/// ```
/// # use silhouette_imaging::files::Kind;
/// let kind = Kind::of(b"\0\0\0\x18ftypheic\0\0\0\0").expect("it is known");
/// assert_eq!((kind.name(), kind.is_read()), ("HEIC", false));
/// assert_eq!(Kind::of(b"a letter"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(&'static Known);

/// A known format: what its file is called, and what to do with it.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: &'static str,
    /// With an article.
    said: &'static str,
    way: Way,
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Read(Format),
    /// The command that makes an image of it, with the file as `IN` and its name without the extension as `STEM`.
    Convert(&'static str),
}

const fn read(name: &'static str, said: &'static str, format: Format) -> Known {
    Known { name, said, way: Way::Read(format) }
}

const fn convert(name: &'static str, said: &'static str, command: &'static str) -> Known {
    Known { name, said, way: Way::Convert(command) }
}

/// One frame of a video.
const FRAME: &str = "ffmpeg -i IN -frames:v 1 STEM.png";

static JPEG: Known = read("JPEG", "a JPEG image", Format::Jpeg);
static PNG: Known = read("PNG", "a PNG image", Format::Png);
static WEBP: Known = read("WebP", "a WebP image", Format::WebP);
static GIF: Known = read("GIF", "a GIF image", Format::Gif);
static BMP: Known = read("BMP", "a BMP image", Format::Bmp);
static TIFF: Known = read("TIFF", "a TIFF image", Format::Tiff);
static HEIC: Known = convert("HEIC", "a HEIC image", "magick IN STEM.jpg");
static AVIF: Known = convert("AVIF", "an AVIF image", "avifdec IN STEM.png");
static JXL: Known = convert("JPEG XL", "a JPEG XL image", "djxl IN STEM.png");
static JP2: Known = convert("JPEG 2000", "a JPEG 2000 image", "magick IN STEM.png");
static RAW: Known = convert("raw", "a camera's raw file", "darktable-cli IN STEM.jpg");
static PSD: Known = convert("Photoshop", "a Photoshop file", "magick IN[0] STEM.png");
static ICON: Known = convert("icon", "an icon", "magick IN[0] STEM.png");
static EXR: Known = convert("OpenEXR", "an OpenEXR image", "magick IN STEM.png");
static HDR: Known = convert("HDR", "a Radiance HDR image", "magick IN STEM.png");
static QOI: Known = convert("QOI", "a QOI image", "magick IN STEM.png");
static DDS: Known = convert("DDS", "a DDS texture", "magick IN STEM.png");
static PNM: Known = convert("Netpbm", "a Netpbm image", "magick IN STEM.png");
static SVG: Known = convert("SVG", "an SVG drawing", "rsvg-convert IN -o STEM.png");
static PDF: Known = convert("PDF", "a PDF document", "pdftoppm -png -r 150 IN STEM");
static MP4: Known = convert("MP4", "an MP4 video", FRAME);
static MOV: Known = convert("QuickTime", "a QuickTime video", FRAME);
static MKV: Known = convert("Matroska", "a Matroska or WebM video", FRAME);
static AVI: Known = convert("AVI", "an AVI video", FRAME);
static FLV: Known = convert("FLV", "a Flash video", FRAME);
static MPEG: Known = convert("MPEG", "an MPEG video", FRAME);
static Y4M: Known = convert("Y4M", "a Y4M video", FRAME);

impl Kind {
    /// How many bytes from the beginning of a file are enough.
    pub const HEAD: usize = 256;

    /// By the first bytes of a file; `None` if they belong to no known format.
    pub fn of(head: &[u8]) -> Option<Self> {
        known(head).map(Self)
    }

    /// Its name, such as `HEIC`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether it is an image that this build reads: PNG, JPEG and WebP always, GIF, BMP and TIFF with the feature `formats`.
    pub fn is_read(self) -> bool {
        self.format().is_some()
    }

    /// The format, if this build reads it.
    pub(super) fn format(self) -> Option<Format> {
        match self.0.way {
            Way::Read(Format::Gif | Format::Bmp | Format::Tiff) if !cfg!(feature = "formats") => None,
            Way::Read(format) => Some(format),
            Way::Convert(_) => None,
        }
    }

    /// Its name with an article.
    pub(super) fn said(self) -> &'static str {
        self.0.said
    }

    /// A command that makes an image of it that is read.
    pub fn command(self, path: &std::path::Path) -> String {
        let template = match self.0.way {
            Way::Convert(command) => command,
            Way::Read(_) => "magick IN[0] STEM.png",
        };
        let stem = path.with_extension("");
        let word = |word: &str| match (word.strip_prefix("IN"), word.strip_prefix("STEM")) {
            (Some(more), _) => quoted(path, more),
            (_, Some(more)) => quoted(&stem, more),
            _ => word.to_owned(),
        };
        template.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

/// For a file that is a camera's raw one by its content.
pub(super) fn raw() -> Kind {
    Kind(&RAW)
}

/// A path and what is added to it, as a word of a shell.
fn quoted(path: &std::path::Path, more: &str) -> String {
    let text = format!("{}{more}", path.display());
    let plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_./+-,@%".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn known(head: &[u8]) -> Option<&'static Known> {
    Some(match head {
        [0xFF, 0xD8, 0xFF, ..] => &JPEG,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => &PNG,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => &WEBP,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => &AVI,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => &GIF,
        [b'B', b'M', ..] if head.get(14..18).is_some_and(bmp_header) => &BMP,
        // Canon's older files, Panasonic's, Olympus's.
        [b'I', b'I', b'*', 0, _, _, _, _, b'C', b'R', ..]
        | [b'I', b'I', b'U', 0, ..]
        | [b'I', b'I', b'R', b'O' | b'S', ..]
        | [b'M', b'M', b'O', b'R', ..] => &RAW,
        [b'I', b'I', b'*' | b'+', 0, ..] | [b'M', b'M', 0, b'*' | b'+', ..] => &TIFF,
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => boxed(&head[8..]),
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] | [0xFF, 0x0A, ..] => &JXL,
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xFF, 0x4F, 0xFF, 0x51, ..] => &JP2,
        [0, 0, 1, 0, _, 0, ..] => &ICON,
        [0, 0, 1, 0xB3 | 0xBA, ..] => &MPEG,
        [0x1A, 0x45, 0xDF, 0xA3, ..] => &MKV,
        [0x76, 0x2F, 0x31, 0x01, ..] => &EXR,
        [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n', ..] => &PNM,
        _ if head.starts_with(b"FUJIFILMCCD-RAW") => &RAW,
        _ if head.starts_with(b"8BPS") => &PSD,
        _ if head.starts_with(b"#?RADIANCE") || head.starts_with(b"#?RGBE") => &HDR,
        _ if head.starts_with(b"qoif") => &QOI,
        _ if head.starts_with(b"DDS ") => &DDS,
        _ if head.starts_with(b"FLV\x01") => &FLV,
        _ if head.starts_with(b"%PDF-") => &PDF,
        _ if head.starts_with(b"YUV4MPEG2") => &Y4M,
        _ if head.starts_with(b"<svg") => &SVG,
        _ if head.starts_with(b"<?xml") && head.windows(4).any(|four| four == b"<svg") => &SVG,
        _ => return None,
    })
}

/// The lengths that the header of a BMP has had.
fn bmp_header(length: &[u8]) -> bool {
    matches!(length, [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
}

/// A file of boxes (ISO 14496-12), by its brand and those that it is compatible with.
fn boxed(brands: &[u8]) -> &'static Known {
    let brand = brands.get(..4).unwrap_or_default();
    let compatible = |brand: &[u8]| brands.as_chunks::<4>().0.iter().any(|other| other == brand);
    match brand {
        b"avif" | b"avis" => &AVIF,
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => &HEIC,
        b"mif1" | b"msf1" | b"miaf" => {
            if compatible(b"avif") || compatible(b"avis") {
                &AVIF
            } else {
                &HEIC
            }
        }
        b"crx " => &RAW,
        b"qt  " => &MOV,
        _ => &MP4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        for (head, name) in [
            (&b"\xFF\xD8\xFF\xE0"[..], "JPEG"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
            (b"RIFF\0\0\0\0AVI LIST", "AVI"),
            (b"GIF89a", "GIF"),
            (b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "BMP"),
            (b"II*\0\x08\0\0\0", "TIFF"),
            (b"MM\0*\0\0\0\x08", "TIFF"),
            (b"II*\0\x10\0\0\0CR\x02\0", "raw"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x1cftypisom\0\0\x02\0isomiso2avc1mp41", "MP4"),
            (b"\0\0\0\x14ftypqt  ", "QuickTime"),
            (b"\x1a\x45\xdf\xa3", "Matroska"),
            (b"<?xml version=\"1.0\"?>\n<svg xmlns", "SVG"),
            (b"%PDF-1.7", "PDF"),
            (b"YUV4MPEG2 W1", "Y4M"),
        ] {
            assert_eq!(Kind::of(head).map(Kind::name), Some(name));
        }
        for head in [&b""[..], b"BM is no image", b"text", b"<?xml version", b"P7x", b"\0\0\0\0"] {
            assert_eq!(Kind::of(head), None, "{head:?}");
        }
        assert!(Kind::of(b"\x89PNG\r\n\x1a\n").unwrap().is_read() && !Kind::of(b"%PDF-").unwrap().is_read());
        assert_eq!(Kind::of(b"GIF89a").unwrap().is_read(), cfg!(feature = "formats"));
    }

    #[test]
    fn the_command_can_be_pasted() {
        let command = |known: &'static Known, path: &str| Kind(known).command(Path::new(path));
        assert_eq!(command(&HEIC, "in/IN.heic"), "magick in/IN.heic in/IN.jpg");
        assert_eq!(command(&PSD, "it's.psd"), "magick 'it'\\''s.psd[0]' 'it'\\''s.png'");
        assert_eq!(command(&MP4, "my clip.mp4"), "ffmpeg -i 'my clip.mp4' -frames:v 1 'my clip.png'");
        assert_eq!(command(&PDF, "a.pdf"), "pdftoppm -png -r 150 a.pdf a");
    }
}
