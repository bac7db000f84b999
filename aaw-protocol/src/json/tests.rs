use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(f32, f32),
    Box { width: f32 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(f32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything<'a> {
    text: &'a str,
    owned: String,
    letter: char,
    yes: bool,
    unit: (),
    small: i8,
    big: u64,
    huge: i128,
    f32: f32,
    f64: f64,
    optional: Option<f32>,
    missing: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skipped: Option<f32>,
    newtype: Newtype,
    list: Vec<f32>,
    pair: (f32, u8),
    map: BTreeMap<String, f32>,
    numbers: BTreeMap<u8, f64>,
    shapes: Vec<Shape>,
    value: Value,
    #[serde(flatten)]
    rest: BTreeMap<String, f64>,
}

fn everything() -> Everything<'static> {
    Everything {
        text: "borrowed",
        owned: "é\n".to_owned(),
        letter: 'x',
        yes: true,
        unit: (),
        small: -1,
        big: u64::MAX,
        huge: -170_141_183_460_469_231,
        f32: 0.1,
        f64: -0.0,
        optional: Some(f32::MAX),
        missing: None,
        skipped: None,
        newtype: Newtype(f32::MIN),
        list: vec![1.0, 2.5],
        pair: (3.0, 4),
        map: BTreeMap::from([("a".to_owned(), 1.5)]),
        numbers: BTreeMap::from([(7, 1.5)]),
        shapes: vec![Shape::Point, Shape::Circle(f64::MAX), Shape::Line(1.0, 2.0), Shape::Box { width: 1.0 }],
        value: json!({ "a": [1, -1, 1.5, null, "x", true] }),
        rest: BTreeMap::from([("more".to_owned(), 1.0)]),
    }
}

#[test]
fn finite_values_are_written_and_read_as_by_serde_json() {
    let value = everything();
    let json = to_string(&value).unwrap();
    assert_eq!(json, serde_json::to_string(&value).unwrap());
    let mut out = b"before".to_vec();
    to_writer(&mut out, &value).unwrap();
    assert_eq!(out, format!("before{json}").into_bytes());
    assert_eq!(to_raw_value(&value).unwrap().get(), json);
    // A `flatten`ed field makes serde buffer the others, so each way of reading is tried without it.
    assert!(from_str::<Value>(&json).is_ok());
    assert_eq!(from_str::<Vec<Shape>>(&to_string(&value.shapes).unwrap()).unwrap(), value.shapes);
    assert_eq!(from_str::<(f32, u8)>("[3,4]").unwrap(), value.pair);
    assert_eq!(from_str::<HashMap<u8, f64>>(r#"{"7":1.5}"#).unwrap(), HashMap::from([(7, 1.5)]));
    assert_eq!(from_str::<Option<f32>>("null").unwrap(), None);
    assert_eq!(from_str::<&str>(r#""borrowed""#).unwrap(), "borrowed");
}

#[test]
fn raw_values_are_passed_on_byte_for_byte() {
    let raw = r#"{"a": 1e400, "b":[1e39 ]}"#;
    let owned: Box<RawValue> = from_str(raw).unwrap();
    assert_eq!(owned.get(), raw);
    let borrowed: Vec<&RawValue> = from_str("[ 1e400,2 ]").unwrap();
    assert_eq!(to_string(&borrowed).unwrap(), "[1e400,2]");
    assert_eq!(to_raw_value(&owned).unwrap().get(), raw);
}

#[test]
fn a_number_that_is_not_finite_is_an_error_that_names_its_place() {
    fn refused(value: impl Serialize) -> String {
        assert!(to_writer(&mut Vec::new(), &value).is_err());
        assert!(to_raw_value(&value).is_err());
        to_string(&value).unwrap_err().to_string()
    }
    let nan = |place: &str| format!("JSON cannot represent the number NaN (at {place})");
    assert_eq!(refused(f64::NAN), "JSON cannot represent the number NaN");
    assert_eq!(refused(f32::INFINITY), "JSON cannot represent the number inf");
    assert_eq!(refused(Some(f64::NEG_INFINITY)), "JSON cannot represent the number -inf");
    assert_eq!(refused([1.0, f32::NAN]), nan("[1]"));
    assert_eq!(refused((1, Newtype(f32::NAN))), nan("[1]"));
    assert_eq!(refused(HashMap::from([("a.b", [f64::NAN])])), nan("a.b[0]"));
    assert_eq!(refused(HashMap::from([(7, f64::NAN)])), nan("7"));
    assert_eq!(refused(Shape::Circle(f64::NAN)), nan("Circle"));
    assert_eq!(refused(Shape::Line(1.0, f32::NAN)), nan("Line[1]"));
    assert_eq!(refused([Shape::Box { width: f32::NAN }]), nan("[0].Box.width"));
    assert_eq!(refused(Everything { newtype: Newtype(f32::NAN), ..everything() }), nan("newtype"));
    let rest = BTreeMap::from([("more".to_owned(), f64::NAN)]);
    assert_eq!(refused(Everything { rest, ..everything() }), nan("more"));
    let long = "é".repeat(10_000);
    assert!(refused(HashMap::from([(long, f64::NAN)])).chars().count() < 200);
    // The place of other errors is named as well.
    assert_eq!(refused([HashMap::from([((1, 2), 3)])]), "key must be a string (at [0].[1,2])");
}

#[test]
fn a_number_beyond_its_type_is_an_error() {
    fn refused<T: serde::de::DeserializeOwned + std::fmt::Debug>(json: &str) {
        let error = from_str::<T>(json).unwrap_err().to_string();
        assert!(error.starts_with("number out of range"), "{json}: {error}");
    }
    for number in ["1e39", "-1e39", "3.5e38", "400000000000000000000000000000000000000"] {
        refused::<f32>(number);
        refused::<Newtype>(number);
        refused::<Option<f32>>(number);
        refused::<Vec<f32>>(&format!("[1,{number}]"));
        refused::<(f32, f32)>(&format!("[1,{number}]"));
        refused::<HashMap<String, f32>>(&format!(r#"{{"a":{number}}}"#));
        refused::<Shape>(&format!(r#"{{"Line":[1,{number}]}}"#));
        refused::<Shape>(&format!(r#"{{"Box":{{"width":{number}}}}}"#));
        assert!(from_str::<f64>(number).unwrap().is_finite());
    }
    for number in ["1e400", "-1e400", &"9".repeat(400)] {
        refused::<f64>(number);
        refused::<f32>(number);
        refused::<Value>(number);
    }
    assert_eq!(from_str::<f32>("3.4028235e38").unwrap(), f32::MAX);
    assert_eq!(from_str::<f32>("1e-400").unwrap(), 0.0);
    assert_eq!(from_str::<f32>("18446744073709551615").unwrap(), 1.844_674_4e19);
}

/// The documented exceptions. If serde or serde_json changes one of them, the documentation becomes simpler.
#[test]
fn what_others_convert_first_is_not_seen() {
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Debug, Deserialize)]
    struct Inner {
        value: f32,
    }
    assert_eq!(from_str::<Outer>(r#"{"value":1e39}"#).unwrap().inner.value, f32::INFINITY);
    assert_eq!(to_string(&json!([f64::NAN])).unwrap(), "[null]");
}
