//! Converts a decoder's output to a photo's pixels: RGB, or RGBA if any pixel is transparent, with hidden colours
//! removed.

/// Decoded pixels, and how many channels they have.
#[derive(Clone, Debug)]
pub(super) struct Pixels {
    pub(super) bytes: Vec<u8>,
    /// 3, or 4 with straight alpha.
    pub(super) channels: usize,
}

impl Pixels {
    /// Blackens fully transparent pixels, or drops an alpha that is opaque everywhere.
    pub(super) fn of(mut bytes: Vec<u8>, channels: usize) -> Self {
        if channels == 3 {
            return Self { bytes, channels };
        }
        if bytes.chunks_exact(4).all(|pixel| pixel[3] == 255) {
            let pixels = bytes.len() / 4;
            for at in 0..pixels {
                bytes.copy_within(4 * at..4 * at + 3, 3 * at);
            }
            bytes.truncate(3 * pixels);
            bytes.shrink_to_fit();
            return Self { bytes, channels: 3 };
        }
        for pixel in bytes.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0) {
            pixel.fill(0);
        }
        Self { bytes, channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alpha_that_hides_nothing_goes_and_what_one_hides_goes_too() {
        let opaque = Pixels::of(vec![1, 2, 3, 255, 4, 5, 6, 255], 4);
        assert_eq!((opaque.bytes, opaque.channels), (vec![1, 2, 3, 4, 5, 6], 3));
        let sticker = Pixels::of(vec![1, 2, 3, 0, 4, 5, 6, 1, 7, 8, 9, 255], 4);
        assert_eq!((sticker.bytes, sticker.channels), (vec![0, 0, 0, 0, 4, 5, 6, 1, 7, 8, 9, 255], 4));
    }
}
