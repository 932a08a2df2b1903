//! The logits of imported reference models, bit for bit (see `common/golden.rs` of the plan).

#[path = "../../plan/tests/common/golden.rs"]
mod golden;

use silhouette_import::{ImportOptions, import};
use silhouette_network::network::Size;
use silhouette_testkit::shared_folder;

fn imported_models_give_the_bits_they_gave() {
    let shared = shared_folder().join("models");
    let models = [
        ("deeplabv3_257_mv_gpu", 21, Some([127.5; 3])),
        ("deeplab_aiseg513_dm05_float", 2, Some([127.5; 3])),
        ("deeplabv3_mnv2_pascal_quant", 21, None),
        ("mobilenet_v2_1.0_224_quant", 1001, None),
    ];
    golden::hold_all(|hold| {
        for (name, classes, mean) in models {
            let labels = Some((0..classes).map(|i| format!("class {i}")).collect());
            let options = ImportOptions { labels, mean, std: mean, ..ImportOptions::default() };
            let model = import(&shared.join(format!("{name}.tflite")), &options).unwrap().into_model().unwrap();
            for size in [Size::square(129), Size { height: 97, width: 161 }] {
                hold(name, &model, size);
            }
        }
    });
}

silhouette_testkit::tests_with_shared!(imported_models_give_the_bits_they_gave);
