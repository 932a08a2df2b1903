//! The logits of a network for each feature of a spec, bit for bit (see `common/golden.rs`).

#[path = "common/golden.rs"]
mod golden;
#[path = "common/networks.rs"]
mod networks;

use silhouette_network::network::{Network, Size};
use silhouette_testkit::is_emulated;
use silhouette_weights::{ModelFile, seeded};

use networks::cases;

#[test]
fn every_network_gives_the_bits_it_gave() {
    let sizes = [Size { height: 40, width: 51 }, Size { height: 65, width: 65 }];
    golden::hold_all(|hold| {
        for (name, spec) in cases() {
            for &size in &sizes[..if is_emulated() { 1 } else { 2 }] {
                let network = Network::new(&spec, size).unwrap();
                let model = ModelFile::new(spec.clone(), seeded(&network, 11)).unwrap();
                hold(&name, &model, size);
            }
        }
    });
}
