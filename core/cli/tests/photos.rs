//! `silhouette segment` on photos with more than colours: transparency is preserved, profiles are applied.

mod common;

use common::{fixture, silhouette};
use silhouette_testkit::{Folder, waves};

/// A sticker whose hidden pixels contain noise; every third pixel is hidden, every third half transparent.
fn sticker(place: &Folder, name: &str, noise: u8) -> std::path::PathBuf {
    let path = place.path(name);
    let pixels: Vec<u8> = waves(60, 40, 0)
        .chunks_exact(3)
        .enumerate()
        .flat_map(|(i, rgb)| match i % 3 {
            0 => [noise.wrapping_mul(i as u8), noise.wrapping_add(i as u8), noise, 0],
            1 => [rgb[0], rgb[1], rgb[2], 120],
            _ => [rgb[0], rgb[1], rgb[2], 255],
        })
        .collect();
    image::save_buffer(&path, &pixels, 60, 40, image::ColorType::Rgba8).unwrap();
    path
}

#[test]
fn hidden_pixels_never_come_back_and_effects_keep_alpha() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let photos = [sticker(&place, "one.png", 37), sticker(&place, "two.png", 201)];
    let behind = place.path("behind.png");
    image::RgbImage::from_pixel(30, 30, image::Rgb([0, 90, 200])).save(&behind).unwrap();
    let mut all = args!["segment", photos[0], photos[1], "--model", model, "-o", place.path("out")].to_vec();
    let replace = format!("replace={}", behind.display());
    for effect in ["mask", "overlay", "cutout", "blur", "confidence=cat", &replace] {
        all.extend(args!["--effect", effect]);
    }
    silhouette(all).ok();
    // Hidden pixels change nothing anywhere.
    for effect in ["mask", "overlay", "cutout", "blur", "confidence-cat", "replace"] {
        let [one, two] =
            ["one", "two"].map(|name| std::fs::read(place.path(&format!("out/{name}.{effect}.png"))).unwrap());
        assert!(one == two, "{effect}");
    }
    let original = image::open(&photos[0]).unwrap().to_rgba8();
    let open = |effect: &str| image::open(place.path(&format!("out/one.{effect}.png"))).unwrap().to_rgba8();
    for effect in ["overlay", "blur"] {
        let made = open(effect);
        assert!(original.pixels().zip(made.pixels()).all(|(a, b)| a[3] == b[3]), "{effect}");
    }
    let cut = open("cutout");
    assert!(original.pixels().zip(cut.pixels()).all(|(a, b)| b[3] <= a[3]));
    assert!(cut.pixels().any(|pixel| pixel[3] > 0));
    // The other image shows where the photo was transparent.
    let replaced = open("replace");
    for (photo, made) in original.pixels().zip(replaced.pixels()) {
        assert!(made[3] == 255 && (photo[3] > 0 || made.0 == [0, 90, 200, 255]), "{photo:?} became {made:?}");
    }
}
