//! True labels: class indices out of a PNG, exactly as stored (a palette is for people's eyes).

use crate::failure::Failure;
use silhouette_files::open_regular;
use std::io::BufReader;
use std::path::Path;

/// An image of class indices.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// One class per pixel, row by row.
    pub(crate) classes: Vec<u8>,
}

/// The largest side that is read: beyond it a file is no mask of a photo.
const MAX_SIDE: u32 = 16_384;

/// The longest file of a mask.
const MAX_FILE: u64 = 1 << 30;

/// Reads a mask: a palette or grey PNG of at most 8 bits.
///
/// # Errors
/// What is wrong with the file, with its name.
pub(crate) fn read(path: &Path) -> Result<Labels, Failure> {
    let wrong = |text: String| Failure::new(path, text);
    let opened = open_regular(path, MAX_FILE).map_err(|error| wrong(error.to_string()))?;
    let mut decoder = png::Decoder::new(BufReader::new(opened.file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    // Compressed as they are, a few bytes of these may be gigabytes.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(|error| wrong(error.to_string()))?;
    let info = reader.info();
    let (width, height) = (info.width, info.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(wrong(format!("a mask of {width}x{height} is larger than {MAX_SIDE}x{MAX_SIDE}")));
    }
    let depth = match (info.color_type, info.bit_depth) {
        (png::ColorType::Indexed | png::ColorType::Grayscale, png::BitDepth::One) => 1,
        (png::ColorType::Indexed | png::ColorType::Grayscale, png::BitDepth::Two) => 2,
        (png::ColorType::Indexed | png::ColorType::Grayscale, png::BitDepth::Four) => 4,
        (png::ColorType::Indexed | png::ColorType::Grayscale, png::BitDepth::Eight) => 8,
        (color, depth) => {
            return Err(wrong(format!(
                "a mask holds class indices (palette or grey, 8 bits), this PNG is {color:?} of {depth:?}"
            )));
        }
    };
    let (width, height) = (width as usize, height as usize);
    let bytes = reader.output_buffer_size().ok_or_else(|| wrong("its size overflows".into()))?;
    let mut packed = vec![0; bytes];
    reader.next_frame(&mut packed).map_err(|error| wrong(error.to_string()))?;
    let classes = if depth == 8 {
        packed.truncate(width * height);
        packed
    } else {
        let stride = (width * depth).div_ceil(8);
        let pixel = |row: &[u8], x: usize| row[x * depth / 8] >> (8 - depth - x * depth % 8) & ((1 << depth) - 1);
        packed.chunks_exact(stride).take(height).flat_map(|row| (0..width).map(move |x| pixel(row, x))).collect()
    };
    Ok(Labels { width, height, classes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(
        name: &str,
        color: png::ColorType,
        depth: png::BitDepth,
        data: &[u8],
        palette: bool,
    ) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("silhouette-labels-{}-{name}.png", std::process::id()));
        let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 3, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if palette {
            encoder.set_palette(vec![9; 768]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        path
    }

    #[test]
    fn indices_not_colours_at_every_depth() {
        use png::{BitDepth, ColorType};
        for (name, color, depth, data, classes) in [
            ("p8", ColorType::Indexed, BitDepth::Eight, vec![0, 15, 255, 254, 1, 2], [0, 15, 255, 254, 1, 2]),
            ("p4", ColorType::Indexed, BitDepth::Four, vec![0x1f, 0x20, 0x34, 0x50], [1, 15, 2, 3, 4, 5]),
            ("p2", ColorType::Indexed, BitDepth::Two, vec![0b00_01_10_00, 0b11_00_11_00], [0, 1, 2, 3, 0, 3]),
            ("p1", ColorType::Indexed, BitDepth::One, vec![0b1010_0000, 0b0100_0000], [1, 0, 1, 0, 1, 0]),
            ("g8", ColorType::Grayscale, BitDepth::Eight, vec![3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8]),
        ] {
            let path = written(name, color, depth, &data, color == ColorType::Indexed);
            let labels = read(&path).unwrap();
            assert_eq!((labels.width, labels.height, &labels.classes[..]), (3, 2, &classes[..]), "{name}");
        }
    }

    #[test]
    fn what_is_no_mask_is_named() {
        let rgb = written("rgb", png::ColorType::Rgb, png::BitDepth::Eight, &[0; 18], false);
        assert!(read(&rgb).unwrap_err().to_string().contains("class indices"));
        let missing = std::env::temp_dir().join("silhouette-labels-missing.png");
        assert!(read(&missing).unwrap_err().to_string().contains("silhouette-labels-missing.png"));
        let cut = std::env::temp_dir().join(format!("silhouette-labels-{}-cut.png", std::process::id()));
        let whole =
            std::fs::read(written("whole", png::ColorType::Grayscale, png::BitDepth::Eight, &[0; 6], false)).unwrap();
        std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
        assert!(read(&cut).is_err());
    }
}
