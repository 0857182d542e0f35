//! Checks that the package documents each option with the default and the range that the tables and types here have.

use serde_json::{Value, json};

use super::{Config, TRAINING};
use crate::options::{OptionSpec, Range};
use crate::plan::Optimizer;

const README: &str = include_str!("../../pkg/npm/README.md");
const TYPES: &str = concat!(
    include_str!("../../pkg/npm/src/shared/types/training.ts"),
    include_str!("../../pkg/npm/src/shared/types/optimization.ts"),
);

/// The numbers that TypeScript's comments and the README write otherwise than Rust does.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{text}\""),
        Value::Number(number) => {
            let number = number.as_f64().unwrap() as f32;
            if number != 0.0 && number < 1e-4 { format!("{number:e}") } else { number.to_string() }
        }
        other => other.to_string(),
    }
}

/// The comment of a property in an interface of `types`, the first one whose name is among `interfaces`.
fn comment(interfaces: &[&str], property: &str) -> Option<&'static str> {
    let of = |interface: &&str| {
        let begin = TYPES.find(&format!("export interface {interface} "))?;
        let body = &TYPES[begin..][..TYPES[begin..].find("\n}")?];
        let end = body.find(&format!("\n  {property}?: ")).or_else(|| body.find(&format!("\n  {property}: ")))?;
        Some(&body[body[..end].rfind("/**")?..end])
    };
    interfaces.iter().find_map(of)
}

/// The interfaces that have the options of a kind.
fn interfaces(kind: &str) -> &'static [&'static str] {
    match kind {
        "sgd" => &["SgdOptions", "CommonOptimizerOptions"],
        "adam" | "adamw" => &["AdamOptions", "CommonOptimizerOptions"],
        "rmsprop" => &["RmsPropOptions", "CommonOptimizerOptions"],
        "softmax-cross-entropy" => &["SoftmaxCrossEntropyOptions"],
        "binary-cross-entropy" => &["BinaryCrossEntropyOptions"],
        "constant" => &["ConstantSchedule"],
        "cosine" => &["CosineSchedule"],
        "step" => &["StepSchedule"],
        "one-cycle" => &["OneCycleSchedule"],
        other => panic!("no interface for `{other}`"),
    }
}

/// Checks one option's comment, and collects what is wrong.
fn check(wrong: &mut Vec<String>, interfaces: &[&str], spec: &OptionSpec, default: Option<&Value>) {
    let name = format!("{}.{}", interfaces[0], spec.name);
    let Some(comment) = comment(interfaces, spec.name) else { return wrong.push(format!("{name}: no comment")) };
    let range = spec.range.to_string();
    let range = range.trim_start_matches("a finite number of ");
    let ranged = matches!(spec.range, Range::Within(..) | Range::Below(..) | Range::AtLeast(..) | Range::Whole(..));
    if ranged && spec.name != "seed" && !comment.contains(range) {
        wrong.push(format!("{name}: the comment lacks the range `{range}`"));
    }
    let values = default.map(|value| [format!("`{}`", written(value)), format!("`{value}`")]);
    if let Some(values) = values
        && !values.iter().any(|value| comment.contains(value))
        && !matches!((spec.name, default), ("floor", Some(_)) if comment.contains("0.000004"))
    {
        wrong.push(format!("{name}: the comment lacks the default {}", values[0]));
    }
}

/// Each kind with its options that have defaults, as the reader fills them in.
fn of_kinds(range: Range, fill: impl Fn(Value) -> Value) -> Vec<(&'static str, &'static [OptionSpec], Value)> {
    let Range::OneOf(kinds) = range else { panic!("not kinds") };
    let filled = |kind: &str| match kind {
        "step" => json!({ "kind": "step" }), // Has no defaults.
        kind => fill(json!({ "kind": kind })),
    };
    kinds.iter().map(|kind| (kind.name, kind.options, filled(kind.name))).collect()
}

#[test]
fn every_kind_is_documented_with_its_defaults_and_ranges() {
    let mut wrong = vec![];
    let config = |name: &str, value: Value| {
        let options = [(name.to_string(), value), ("seed".to_string(), json!(1))];
        serde_json::to_value(Config::seeded(&options.into_iter().collect()).unwrap()).unwrap()[name].clone()
    };
    for spec in TRAINING {
        let Range::OneOf(_) = spec.range else { continue };
        for (kind, options, filled) in of_kinds(spec.range, |value| config(spec.name, value)) {
            for option in options {
                check(&mut wrong, interfaces(kind), option, filled.get(option.name));
            }
            let rate = (spec.name == "optimizer").then(|| {
                let optimizer: Optimizer = serde_json::from_value(filled.clone()).unwrap();
                format!(", learningRate: {}", optimizer.default_learning_rate())
            });
            let known = options.iter().filter_map(|option| Some((option.name, filled.get(option.name)?)));
            let fields: String = known.map(|(name, value)| format!(", {name}: {}", written(value))).collect();
            let line = format!("{{ kind: \"{kind}\"{}{fields}", rate.unwrap_or_default());
            if !README.contains(&line) {
                wrong.push(format!("pkg/npm/README.md lacks `{line}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_option_is_documented_with_its_default_and_range() {
    let mut wrong = vec![];
    let defaults = serde_json::to_value(Config::default()).unwrap();
    for spec in TRAINING {
        match spec.range {
            // The package has these two elsewhere: beside the optimizer's constants, and in `fit`.
            _ if ["learningRate", "epochs"].contains(&spec.name) => {}
            Range::OneOf(_) | Range::List(_) => check(&mut wrong, &["TrainerOptions"], spec, None),
            Range::Object(options) => {
                for option in options {
                    check(&mut wrong, &["AugmentOptions"], option, Some(&defaults[spec.name][option.name]));
                }
            }
            // Drawn, or chosen by memory.
            _ if ["seed", "recompute"].contains(&spec.name) => check(&mut wrong, &["TrainerOptions"], spec, None),
            _ => check(&mut wrong, &["TrainerOptions"], spec, Some(&defaults[spec.name])),
        }
        let plain = !matches!(spec.range, Range::OneOf(_) | Range::List(_) | Range::Object(_));
        let line = format!("{}: {}", spec.name, written(&defaults[spec.name]));
        if plain && !["seed", "epochs"].contains(&spec.name) && !README.contains(&line) {
            wrong.push(format!("pkg/npm/README.md lacks `{line}`"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tables_name_every_field() {
    let names = |value: Value| match value {
        Value::Object(fields) => fields.keys().cloned().collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    let mut table: Vec<&str> = TRAINING.iter().map(|spec| spec.name).collect();
    let mut fields = names(serde_json::to_value(Config::default()).unwrap());
    table.sort_unstable();
    fields.sort_unstable();
    assert_eq!(table, fields);
}

#[test]
fn options_are_refused_by_name_with_their_range() {
    let error = |options: Value| {
        let Value::Object(options) = options else { panic!("not an object") };
        Config::seeded(&options).unwrap_err().to_string()
    };
    for (options, want) in [
        (json!({ "batchSize": 0 }), "batchSize: expected 1 to 65536, got 0"),
        (json!({ "batchSize": 1.5 }), "batchSize: expected 1 to 65536, got 1.5"),
        (json!({ "warmUp": 1 }), "warmUp: expected one of the options optimizer, learningRate, loss,"),
        (
            json!({ "optimizer": { "kind": "sgd", "momentum": 1 } }),
            "optimizer.momentum: expected at least 0 and below 1, got 1",
        ),
        (
            json!({ "optimizer": { "kind": "sgd", "momentum": "much" } }),
            "optimizer.momentum: expected at least 0 and below 1, got much",
        ),
        (json!({ "optimizer": { "kind": "lion" } }), "optimizer.kind: expected sgd, adam, adamw or rmsprop, got lion"),
        (
            json!({ "optimizer": { "kind": "sgd", "beta1": 0.9 } }),
            "optimizer.beta1: expected one of the options momentum",
        ),
        (json!({ "schedule": { "kind": "step", "every": 3 } }), "missing field `gamma`"),
        (json!({ "augment": { "flip": 1 } }), "augment.flip: expected true or false, got 1"),
        (
            json!({ "groups": [{ "layers": "a", "rate": -1 }] }),
            "groups[0].rate: expected a finite number of at least 0",
        ),
        (json!({ "groups": { "a": 0 } }), "groups: expected a list of objects, got"),
        (json!({ "seed": null }), "seed: expected a whole number from 0, got nothing"),
        (json!({ "loss": 3 }), "loss: expected an object, got 3"),
    ] {
        let text = error(options);
        assert!(text.contains(want), "`{text}` lacks `{want}`");
    }
}

#[test]
fn seeds_and_rates_are_chosen_where_nobody_gives_them() {
    let config = |options: Value| {
        let Value::Object(options) = options else { panic!("not an object") };
        Config::seeded(&options).unwrap()
    };
    assert_eq!(config(json!({ "seed": 3 })), Config { seed: 3, ..Config::default() });
    assert_eq!(config(json!({ "optimizer": { "kind": "adam" } })).learning_rate, 0.001);
    assert_eq!(config(json!({ "optimizer": { "kind": "adam" }, "learningRate": 0.1 })).learning_rate, 0.1);
    let seeds: Vec<u32> = (0..4).map(|_| config(json!({})).seed).collect();
    assert!(seeds.iter().any(|seed| *seed != seeds[0]), "{seeds:?}");
}
