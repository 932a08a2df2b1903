//! The outlines of classes as `GeoJSON` (RFC 7946) and as COCO's annotations.

use serde_json::{Value, json};
use silhouette::{Mask, Polygon, Result};

/// How far an outline may move when it is simplified, in pixels.
const TOLERANCE: f64 = 1.0;

/// The pieces of the classes in a mask.
pub(crate) struct Shapes<'a> {
    labels: &'a [String],
    width: usize,
    height: usize,
    /// Each class in the mask with its pieces.
    classes: Vec<(usize, Vec<Polygon>)>,
}

impl<'a> Shapes<'a> {
    /// Of every class in the mask but the background.
    pub(crate) fn of(mask: &Mask, labels: &'a [String]) -> Result<Self> {
        let counts = mask.histogram();
        let mut classes = Vec::new();
        for class in (1..counts.len().min(labels.len())).filter(|&class| counts[class] > 0) {
            classes.push((class, mask.outlines(class as u8, TOLERANCE, 0)?));
        }
        Ok(Self { labels, width: mask.width, height: mask.height, classes })
    }

    /// The number of pieces of each class, by label.
    pub(crate) fn pieces(&self) -> Vec<(&'a str, usize)> {
        self.classes.iter().map(|(class, pieces)| (self.labels[*class].as_str(), pieces.len())).collect()
    }

    /// A feature for each piece. Coordinates are pixels, from the top left corner.
    pub(crate) fn geojson(&self, photo: &str) -> String {
        let mut features = Vec::new();
        for (class, pieces) in &self.classes {
            for (number, piece) in pieces.iter().enumerate() {
                let rings: Vec<Value> =
                    std::iter::once(&piece.outer).chain(&piece.holes).map(|ring| json!(closed(ring))).collect();
                let label = &self.labels[*class];
                let of = pieces.len();
                features.push(json!({
                    "type": "Feature",
                    "geometry": { "type": "Polygon", "coordinates": rings },
                    "properties":
                        { "label": label, "class": class, "piece": number + 1, "pieces": of, "area": area(piece) },
                }));
            }
        }
        let image = json!({ "file_name": photo, "width": self.width, "height": self.height });
        json!({ "type": "FeatureCollection", "image": image, "features": features }).to_string()
    }

    /// An annotation for each piece: a polygon, or, as those cannot have holes, run lengths.
    pub(crate) fn coco(&self, photo: &str) -> Result<String> {
        let mut annotations = Vec::new();
        for (class, pieces) in &self.classes {
            for piece in pieces {
                let [x, y, width, height] = bounds(piece);
                let segmentation = if piece.holes.is_empty() {
                    json!([piece.outer.iter().flatten().collect::<Vec<_>>()])
                } else {
                    json!({ "size": [self.height, self.width], "counts": self.run_lengths(piece)? })
                };
                annotations.push(json!({
                    "id": annotations.len() + 1,
                    "image_id": 1,
                    "category_id": class,
                    "segmentation": segmentation,
                    "area": area(piece),
                    "bbox": [x, y, width, height],
                    "iscrowd": 0,
                }));
            }
        }
        let categories: Vec<Value> = self
            .labels
            .iter()
            .enumerate()
            .skip(1)
            .map(|(id, name)| json!({ "id": id, "name": name, "supercategory": "" }))
            .collect();
        let image = json!({ "id": 1, "file_name": photo, "width": self.width, "height": self.height });
        Ok(json!({ "images": [image], "annotations": annotations, "categories": categories }).to_string())
    }

    /// COCO's run lengths of a piece: pixels outside and inside it, alternating, column by column.
    fn run_lengths(&self, piece: &Polygon) -> Result<Vec<usize>> {
        let [left, top, width, height] = bounds(piece).map(|number| number as usize);
        let moved = |ring: &Vec<[u32; 2]>| ring.iter().map(|&[x, y]| [x - left as u32, y - top as u32]).collect();
        let inside = Polygon { outer: moved(&piece.outer), holes: piece.holes.iter().map(moved).collect() };
        let flags = silhouette::filled(&[inside], width, height)?;
        let mut runs = Runs { counts: vec![0], inside: false };
        runs.add(false, left * self.height);
        for x in 0..width {
            runs.add(false, top);
            for y in 0..height {
                runs.add(flags[y * width + x], 1);
            }
            runs.add(false, self.height - top - height);
        }
        runs.add(false, (self.width - left - width) * self.height);
        Ok(runs.counts)
    }
}

struct Runs {
    counts: Vec<usize>,
    inside: bool,
}

impl Runs {
    fn add(&mut self, inside: bool, pixels: usize) {
        if pixels == 0 {
            return;
        }
        if inside != self.inside {
            self.counts.push(0);
            self.inside = inside;
        }
        if let Some(last) = self.counts.last_mut() {
            *last += pixels;
        }
    }
}

/// The ring with its first corner again at its end.
fn closed(ring: &[[u32; 2]]) -> Vec<[u32; 2]> {
    ring.iter().chain(ring.first()).copied().collect()
}

/// Pixels inside the outline and outside the holes.
fn area(piece: &Polygon) -> f64 {
    let ring = |ring: &Vec<[u32; 2]>| {
        let next = ring.iter().skip(1).chain(ring.first());
        let twice = |([x0, y0], [x1, y1]): (&[u32; 2], &[u32; 2])| {
            f64::from(*x0) * f64::from(*y1) - f64::from(*x1) * f64::from(*y0)
        };
        ring.iter().zip(next).map(twice).sum::<f64>().abs() / 2.0
    };
    ring(&piece.outer) - piece.holes.iter().map(ring).sum::<f64>()
}

/// Left, top, width and height.
fn bounds(piece: &Polygon) -> [u32; 4] {
    let corners = || piece.outer.iter();
    let left = corners().map(|corner| corner[0]).min().unwrap_or(0);
    let top = corners().map(|corner| corner[1]).min().unwrap_or(0);
    let right = corners().map(|corner| corner[0]).max().unwrap_or(0);
    let bottom = corners().map(|corner| corner[1]).max().unwrap_or(0);
    [left, top, right - left, bottom - top]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_holes_are_kept() {
        let rows = ["1111.2", "1..1..", "1..1.1", "1111.1"];
        let classes = rows.concat().bytes().map(|c| if c == b'.' { 0 } else { c - b'0' }).collect();
        let mask = Mask { width: 6, height: 4, classes };
        let labels = ["background", "cat", "dog"].map(str::to_owned);
        let shapes = Shapes::of(&mask, &labels).unwrap();
        assert_eq!(shapes.pieces(), [("cat", 2), ("dog", 1)]);
        let geo: Value = serde_json::from_str(&shapes.geojson("a.png")).unwrap();
        let features = geo["features"].as_array().unwrap();
        assert_eq!(features.len(), 3);
        let ring = &features[0]["geometry"]["coordinates"];
        assert_eq!(ring[0], json!([[4, 0], [4, 4], [0, 4], [0, 0], [4, 0]]));
        assert_eq!(ring[1].as_array().unwrap().len(), 5);
        let about = &features[0]["properties"];
        assert_eq!((&about["label"], &about["pieces"], &about["area"]), (&json!("cat"), &json!(2), &json!(12.0)));
        let coco: Value = serde_json::from_str(&shapes.coco("a.png").unwrap()).unwrap();
        let annotations = coco["annotations"].as_array().unwrap();
        assert_eq!(annotations[0]["segmentation"]["size"], json!([4, 6]));
        // Columns from the left: all, top and bottom twice, all, and the rest is outside.
        assert_eq!(annotations[0]["segmentation"]["counts"], json!([0, 5, 2, 2, 2, 5, 8]));
        assert_eq!(annotations[1]["segmentation"], json!([[6, 2, 6, 4, 5, 4, 5, 2]]));
        assert_eq!((&annotations[1]["bbox"], &annotations[1]["area"]), (&json!([5, 2, 1, 2]), &json!(2.0)));
        assert_eq!(annotations[2]["category_id"], 2);
        assert_eq!(coco["categories"].as_array().unwrap().len(), 2);
    }
}
