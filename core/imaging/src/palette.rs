//! A colour for each class.

/// RGB colours of 256 classes.
///
/// ```
/// # use silhouette_imaging::palette::Palette;
/// let palette = Palette::with_colors(&[[0, 0, 0], [255, 128, 0]]);
/// assert_eq!(palette.color(1), [255, 128, 0]);
/// assert_eq!(palette.color(2), Palette::voc().color(2));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette {
    colors: [[u8; 3]; 256],
}

impl Palette {
    /// PASCAL VOC's palette: the bits of the class number, three at a time from the lowest, become the bits of red,
    /// green and blue from the highest.
    pub fn voc() -> Self {
        let mut colors = [[0; 3]; 256];
        for (class, color) in colors.iter_mut().enumerate() {
            for bit in 0..8 {
                let three = class >> (3 * bit);
                for (c, channel) in color.iter_mut().enumerate() {
                    *channel |= ((three >> c & 1) as u8) << (7 - bit);
                }
            }
        }
        Self { colors }
    }

    /// The passed colours for the first classes, VOC's for the others.
    pub fn with_colors(given: &[[u8; 3]]) -> Self {
        let mut this = Self::voc();
        for (color, &given) in this.colors.iter_mut().zip(given) {
            *color = given;
        }
        this
    }

    /// The colour of a class.
    pub fn color(&self, class: u8) -> [u8; 3] {
        self.colors[usize::from(class)]
    }

    /// All colours.
    pub fn colors(&self) -> &[[u8; 3]; 256] {
        &self.colors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voc_colours() {
        // From the VOC development kit's table.
        let p = Palette::voc();
        assert_eq!(p.color(0), [0, 0, 0]);
        assert_eq!(p.color(1), [128, 0, 0]);
        assert_eq!(p.color(8), [64, 0, 0]);
        assert_eq!(p.color(15), [192, 128, 128]);
        assert_eq!(p.color(20), [0, 64, 128]);
        assert_eq!(p.color(255), [224, 224, 192]);
    }

    #[test]
    fn given_colours_come_first() {
        let p = Palette::with_colors(&[[1, 2, 3]]);
        assert_eq!((p.color(0), p.color(1)), ([1, 2, 3], [128, 0, 0]));
    }
}
