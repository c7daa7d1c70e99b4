//! The properties of the fuzz targets over their seeds, so that they hold with every run of the tests.

use std::fs;
use std::path::Path;

use longshore::model::record::Record;

use crate::harness::sign;

#[path = "../fuzz/src/front.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets are programs of their own")]
mod front;
#[path = "../fuzz/src/properties.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets are programs of their own")]
mod properties;

type Property = fn(&[u8]);

#[test]
fn the_seeds_of_the_fuzz_targets_hold() {
    let targets: [(&str, Property); 11] = [
        ("names", properties::names),
        ("range", properties::range),
        ("conditions", properties::conditions),
        ("policy", properties::policy),
        ("record", properties::record),
        ("config", properties::config),
        ("jwt", properties::jwt),
        ("chunked", front::chunked),
        ("xml", front::xml),
        ("request", front::request),
        ("post_form", front::post_form),
    ];
    for (target, property) in targets {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
        let mut count = 0;
        for seed in fs::read_dir(&seeds).expect("a directory").flatten() {
            println!("{target}: {}", seed.file_name().display());
            let bytes = fs::read(seed.path()).expect("reads");
            assert!(target != "record" || Record::decode(&bytes).is_some(), "no record");
            property(&bytes);
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
    }
}
