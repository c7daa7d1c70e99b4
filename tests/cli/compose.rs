//! The compose file of several gateways, held against what the program says of itself.
//!
//! **Invariant:** every command line and every variable of Longshore in it is one that the help or the README documents.

use std::collections::BTreeSet;
use std::path::Path;

use yaml_rust2::{Yaml, YamlLoader};

use crate::harness::longshore;

const FILE: &str = "compat/compose/compose.yaml";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

fn compose() -> Yaml {
    let mut documents = YamlLoader::load_from_str(&read(FILE)).expect("YAML");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn help(command: &[&str]) -> String {
    let output = longshore(&[command, &["--help"]].concat()).output().expect("the built program");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn texts(yaml: &Yaml) -> Vec<String> {
    yaml.as_vec().into_iter().flatten().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// Name, command line and environment of a service.
type Service = (String, Vec<String>, Vec<(String, String)>);

/// The services that run Longshore.
fn services(compose: &Yaml) -> Vec<Service> {
    let services = compose["services"].as_hash().expect("services");
    let ours = services.iter().filter_map(|(name, service)| {
        let command = texts(&service["command"]);
        let environment = service["environment"].as_hash()?.iter();
        let text = |yaml: &Yaml| yaml.as_str().expect("a text").to_owned();
        let environment = environment.map(|(name, value)| (text(name), text(value))).collect();
        (command.first()? == "longshore").then(|| (text(name), command[1..].to_vec(), environment))
    });
    ours.collect()
}

#[test]
fn every_option_and_variable_is_documented() {
    let compose = compose();
    let services = services(&compose);
    assert_eq!(services.len(), 3);
    let readme = read("README.md");
    for (name, command, environment) in &services {
        let words: Vec<&str> = command.iter().map(String::as_str).take_while(|word| is_command(word)).collect();
        let help = help(&words);
        for option in command.iter().filter(|word| word.starts_with("--")) {
            let option = option.split('=').next().unwrap_or(option);
            assert!(help.contains(&format!("{option} ")), "{name}: {option} is not in the help of {words:?}");
        }
        for (variable, _) in environment.iter().filter(|(variable, _)| variable.starts_with("LONGSHORE_")) {
            let documented = help.contains(&format!("[env: {variable}=")) || readme.contains(&format!("`{variable}`"));
            assert!(documented, "{name}: {variable} is nowhere documented");
        }
    }
}

fn is_command(word: &str) -> bool {
    ["serve", "catalog", "migrate"].contains(&word)
}

/// What all gateways must share is the same for each, and what each must have for itself is its own.
#[test]
fn gateways_share_the_catalog_the_directory_and_the_secrets() {
    let compose = compose();
    let gateways: Vec<_> = services(&compose).into_iter().filter(|(_, command, _)| command[0] == "serve").collect();
    assert!(gateways.len() > 1);
    let (_, command, environment) = &gateways[0];
    let mut states = BTreeSet::new();
    for (name, same, also) in &gateways {
        assert_eq!((same, also), (command, environment), "{name}");
        let service = &compose["services"][name.as_str()];
        let secret = &service["secrets"][0]["target"];
        assert_eq!(secret.as_str(), Some("/var/lib/longshore/master.key"), "{name}");
        let volumes = texts(&service["volumes"]);
        assert!(volumes.contains(&"files:/srv/files".to_owned()), "{name}");
        let state =
            volumes.iter().find_map(|volume| volume.strip_suffix(":/var/lib/longshore")).expect("a state directory");
        assert!(states.insert(state.to_owned()), "{name} has the state directory of another one");
        let balanced = compose["configs"]["balancer"]["content"].as_str().expect("a text");
        for port in [9000, 9001] {
            assert!(balanced.contains(&format!("server {name} {name}:{port} ")), "{name}");
        }
    }
    let variable = |wanted: &str| environment.iter().any(|(name, _)| name == wanted);
    for needed in
        ["LONGSHORE_ROOT_ACCESS_KEY", "LONGSHORE_ROOT_SECRET_KEY", "LONGSHORE_JWT_SECRET", "LONGSHORE_CATALOG"]
    {
        assert!(variable(needed), "{needed}");
    }
}

/// What is named is defined, so that the file can be used as it is.
#[test]
fn what_services_name_is_there() {
    let compose = compose();
    for (name, service) in compose["services"].as_hash().expect("services") {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap_or_default().to_owned();
            let there = source.starts_with('.')
                || compose["volumes"].as_hash().is_some_and(|all| all.contains_key(&Yaml::String(source)));
            assert!(there, "{name:?}: {volume}");
        }
        for (kind, list) in [("configs", &service["configs"]), ("secrets", &service["secrets"])] {
            for source in list.as_vec().into_iter().flatten() {
                let source = source["source"].as_str().expect("a source");
                assert!(!compose[kind][source].is_badvalue(), "{name:?}: {source}");
            }
        }
    }
}
