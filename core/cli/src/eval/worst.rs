//! Draws the images with the lowest scores: photo, ground truth, mask, side by side.

use crate::failure::Failure;
use silhouette::{Mask, Palette, Picture};
use std::path::Path;

/// Opacity of the labels' colours over the photo.
const OPACITY: f32 = 0.7;

/// Writes the three images as one PNG. `photo` has the size of both masks.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn draw(path: &Path, photo: &Picture, truth: &Mask, mask: &Mask, palette: &Palette) -> Result<(), Failure> {
    let over = |labels: &Mask| {
        let mut picture = photo.clone();
        picture.overlay(labels, palette, OPACITY);
        picture
    };
    let parts = [photo.clone(), over(truth), over(mask)];
    let width = parts.iter().map(|part| part.width).sum();
    let mut rgba = Vec::with_capacity(width * photo.height * 4);
    for y in 0..photo.height {
        for part in &parts {
            rgba.extend_from_slice(&part.rgba[y * part.width * 4..][..part.width * 4]);
        }
    }
    let sheet = Picture { width, height: photo.height, rgba };
    silhouette::files::write_picture(path, &sheet).map_err(|error| Failure::new(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn three_side_by_side() {
        let folder = Folder::new();
        let path = folder.path("worst.png");
        let photo = Picture { width: 2, height: 1, rgba: vec![10, 20, 30, 255, 40, 50, 60, 255] };
        let truth = Mask { width: 2, height: 1, classes: vec![0, 15] };
        let mask = Mask { width: 2, height: 1, classes: vec![15, 0] };
        draw(&path, &photo, &truth, &mask, &Palette::voc()).unwrap();
        let read = silhouette::files::Photo::open(&path).unwrap();
        let picture = Picture::from_frame(&read.frame().unwrap()).unwrap();
        assert_eq!((picture.width, picture.height), (6, 1));
        let pixel = |x: usize| &picture.rgba[x * 4..][..3];
        assert_eq!((pixel(0), pixel(1)), (&[10, 20, 30][..], &[40, 50, 60][..]));
        assert_eq!(pixel(2), pixel(0), "background is not coloured");
        assert_eq!(pixel(5), pixel(1));
        assert!(pixel(3) != pixel(1) && pixel(4) != pixel(0));
    }
}
