//! `silhouette experiment` and `silhouette info --table paper`: invariant numbers, figures, rejected input.

mod common;

use common::{fixture, photo, silhouette};
use silhouette_testkit::Folder;

#[test]
fn the_papers_tables() {
    let text = silhouette(["info", "--table", "paper"]).ok().out;
    // Our figures and the paper's, table 7: V2* at output stride 16, and ResNet-101's cost.
    for expected in ["2.741 B", "2.750 B", "75.32", "4871 B", "82.70", "ShuffleNet", "1/d_o + 1/k^2"] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let json = silhouette(["info", "--table", "paper", "--json"]).ok().json();
    assert_eq!(json["segmentation"].as_array().unwrap().len(), 11);
    assert_eq!(json["memory"][0]["published"]["shufflenet"], serde_json::json!([32, 800]));
    assert_eq!(json["memory"][0]["v2"]["channels"], 16);
    let refused = silhouette(["info", "--table", "paper", "--size", "65"]);
    assert_eq!(refused.code, 2, "{refused:?}");
}

#[test]
fn manifold_tells_and_draws_the_same_for_the_same_seed() {
    let place = Folder::new();
    let draw = |name: &str, seed: &str| {
        let path = place.path(name);
        let args = ["experiment", "manifold", "--matrices", "20", "--seed", seed, "--json", "-o"];
        let out = silhouette(args.iter().map(std::ffi::OsString::from).chain([path.clone().into()])).ok().json();
        (out, std::fs::read(path).unwrap())
    };
    let (a, first) = draw("a.svg", "3");
    let (b, again) = draw("b.svg", "3");
    let (_, other) = draw("c.svg", "4");
    assert_eq!((&a, &first), (&b, &again));
    assert_ne!(first, other);
    let text = String::from_utf8(first).unwrap();
    assert!(text.contains("n = 30") && text.starts_with("<svg"));
    let errors: Vec<f64> =
        a["embeddings"].as_array().unwrap().iter().map(|e| e["mean_error"].as_f64().unwrap()).collect();
    assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
    let (_, png) = draw("a.png", "3");
    assert!(png.starts_with(b"\x89PNG"));
    silhouette(args!["experiment", "manifold", "-o", place.path("a.pdf")]).fails(&["a.pdf", ".svg or .png"]);
    assert_eq!(silhouette(["experiment", "manifold", "--dimensions", "1"]).code, 2);
}

#[test]
fn split_measures_every_way_and_the_engine() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let figure = place.path("split.svg");
    let run = ["experiment", "split", "--size", "129", "--ways", "1,3", "--runs", "2"].map(std::ffi::OsString::from);
    let with = |more: &[&std::ffi::OsStr]| run.iter().cloned().chain(more.iter().map(Into::into)).collect::<Vec<_>>();
    let json =
        silhouette(with(&["--json".as_ref(), "--model".as_ref(), model.as_ref(), "-o".as_ref(), figure.as_ref()]));
    let json = json.ok().json();
    let runs = json["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    let bytes = |i: usize| runs[i]["bytes"].as_u64().unwrap();
    assert!(bytes(0) > bytes(1) && bytes(1) > bytes(2), "{json}");
    assert!(bytes(0) >= runs[0]["formula"].as_u64().unwrap() && runs[2]["formula"].is_null());
    assert!(std::fs::read_to_string(figure).unwrap().contains("fused engine"));
    let text = silhouette(with(&["--model".as_ref(), model.as_ref()])).ok().out;
    assert!(text.contains("fused engine") && text.contains("by layer"), "{text}");
}

#[test]
fn blocks_are_left_out_scored_and_saved() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let figure = place.path("blocks.png");
    let photos = [photo(&place, "a.png", 70, 60), photo(&place, "b.png", 64, 64)];
    let run = silhouette(args![
        "experiment",
        "drop-blocks",
        photos[0],
        photos[1],
        "--model",
        model,
        "--most",
        "3",
        "--json",
        "-o",
        figure
    ]);
    let json = run.ok().json();
    let experiment = &json["experiment"];
    assert_eq!(experiment["whole"]["score"]["pixels"], 100.0, "the whole network agrees with itself");
    let single = experiment["single"].as_array().unwrap();
    assert_eq!(single.len(), 10);
    assert!(single.iter().any(|d| d["score"]["pixels"].as_f64().unwrap() < 100.0), "{json}");
    let cumulative = experiment["cumulative"].as_array().unwrap();
    assert_eq!(cumulative.len(), 3);
    let macs = |d: &serde_json::Value| d["macs"].as_u64().unwrap();
    assert!(macs(&cumulative[2]) < macs(&cumulative[0]) && macs(&cumulative[0]) < macs(&experiment["whole"]));
    assert!(std::fs::read(figure).unwrap().starts_with(b"\x89PNG"));

    let less = place.path("less.safetensors");
    silhouette(args!["experiment", "drop-blocks", "--model", model, "--drop", "5,8", "--save", less]).ok();
    let info = silhouette(args!["info", less, "--json"]).ok().json();
    assert_eq!(info["spec"]["extractor"]["dropped_blocks"], serde_json::json!([5, 8]));
    silhouette(args!["segment", photos[0], "--model", less, "-o", place.path("")]).ok();
    silhouette(args!["experiment", "drop-blocks", "--model", model, "--drop", "3", "--save", less])
        .fails(&["block 3", "[2, 4, 5"]);
    assert_eq!(silhouette(args!["experiment", "drop-blocks", "--model", model]).code, 2, "nothing to score on");
}

#[test]
fn blocks_are_scored_against_true_masks() {
    let place = Folder::new();
    let model = fixture(&place, "model.safetensors");
    let root = place.path("voc");
    for folder in ["JPEGImages", "SegmentationClass"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let photo = photo(&place, "p.png", 65, 65);
    std::fs::copy(&photo, root.join("JPEGImages/p.jpg")).unwrap();
    silhouette(args!["segment", photo, "--model", model, "--effect", "mask", "-o", place.path("")]).ok();
    std::fs::copy(place.path("p.mask.png"), root.join("SegmentationClass/p.png")).unwrap();
    std::fs::write(root.join("val.txt"), "p\n").unwrap();
    let run = silhouette(args!["experiment", "drop-blocks", "--voc", root, "--model", model, "--most", "1", "--json"]);
    let json = run.ok().json();
    assert_eq!(json["experiment"]["whole"]["score"]["miou"], 100.0, "its own mask is the true one");
    assert!(json["against"].as_str().unwrap().contains("1 images"));
    let text = silhouette(args!["experiment", "drop-blocks", "--voc", root, "--model", model, "--most", "2"]).ok().out;
    assert!(text.contains("none") && text.lines().count() == 3 + 1 + 10 + 1, "{text}");
    silhouette(args!["experiment", "drop-blocks", "--voc", place.path("no"), "--model", model]).fails(&["val.txt"]);
}
