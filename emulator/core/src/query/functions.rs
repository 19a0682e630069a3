//! The functions that an expression may call. All are total: what they cannot be asked, such as the
//! length of a number, is undefined.

use std::borrow::Cow;

use serde_json::Value;

use super::value::Datum;

/// A function of the language.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Function {
    IsDefined,
    IsNull,
    IsBool,
    IsNumber,
    IsString,
    IsArray,
    IsObject,
    IsPrimitive,
    AsNumber,
    Abs,
    Exp,
    Power,
    Square,
    Ceiling,
    Floor,
    Sign,
    Sqrt,
    Concat,
    Length,
    Lower,
    Upper,
    Substring,
    IndexOf,
    StartsWith,
    EndsWith,
    Contains,
    ArrayContains,
}

/// How many arguments `CONCAT` may have; others have few.
const MANY: usize = 100;

/// Names in lower case, and the fewest and most arguments.
const FUNCTIONS: [(&str, Function, usize, usize); 29] = [
    ("is_defined", Function::IsDefined, 1, 1),
    ("is_null", Function::IsNull, 1, 1),
    ("is_bool", Function::IsBool, 1, 1),
    ("is_number", Function::IsNumber, 1, 1),
    ("is_string", Function::IsString, 1, 1),
    ("is_array", Function::IsArray, 1, 1),
    ("is_object", Function::IsObject, 1, 1),
    ("is_primitive", Function::IsPrimitive, 1, 1),
    ("as_number", Function::AsNumber, 1, 1),
    ("abs", Function::Abs, 1, 1),
    ("exp", Function::Exp, 1, 1),
    ("power", Function::Power, 2, 2),
    ("square", Function::Square, 1, 1),
    ("ceiling", Function::Ceiling, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("sign", Function::Sign, 1, 1),
    ("sqrt", Function::Sqrt, 1, 1),
    ("concat", Function::Concat, 2, MANY),
    ("length", Function::Length, 1, 1),
    ("lower", Function::Lower, 1, 1),
    ("upper", Function::Upper, 1, 1),
    ("substring", Function::Substring, 2, 3),
    ("index_of", Function::IndexOf, 2, 2),
    ("startswith", Function::StartsWith, 2, 2),
    ("starts_with", Function::StartsWith, 2, 2),
    ("endswith", Function::EndsWith, 2, 2),
    ("ends_with", Function::EndsWith, 2, 2),
    ("contains", Function::Contains, 2, 2),
    ("array_contains", Function::ArrayContains, 2, 2),
];

impl Function {
    /// The function of this name, and how many arguments it takes.
    pub(super) fn find(name: &str) -> Option<(Self, std::ops::RangeInclusive<usize>)> {
        let found = FUNCTIONS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        found.map(|(_, function, least, most)| (*function, *least..=*most))
    }

    /// The value for these arguments, whose number has been checked.
    pub(super) fn call<'a>(self, arguments: &[Datum<'a>]) -> Datum<'a> {
        const NONE: Datum<'static> = Datum::Undefined;

        let argument = |index: usize| arguments.get(index).unwrap_or(&NONE);
        let (first, second) = (argument(0), argument(1));
        match self {
            Self::IsDefined => (*first != Datum::Undefined).into(),
            Self::IsNull => (*first == Datum::Null).into(),
            Self::IsBool => matches!(first, Datum::Bool(_)).into(),
            Self::IsNumber => matches!(first, Datum::Number(_)).into(),
            Self::IsString => matches!(first, Datum::Text(_)).into(),
            Self::IsArray => array(first).is_some().into(),
            Self::IsObject => {
                (array(first).is_none() && matches!(first, Datum::Composite(_))).into()
            }
            Self::IsPrimitive => (!matches!(first, Datum::Undefined | Datum::Composite(_))).into(),
            Self::AsNumber => as_number(first),
            Self::Abs => of_number(first, f64::abs),
            Self::Exp => of_number(first, f64::exp),
            Self::Power => first.as_number().zip(second.as_number()).map(|(x, y)| x.powf(y)).into(),
            Self::Square => of_number(first, |x| x * x),
            Self::Ceiling => of_number(first, f64::ceil),
            Self::Floor => of_number(first, f64::floor),
            Self::Sign => of_number(first, |x| if x == 0.0 { 0.0 } else { x.signum() }),
            Self::Sqrt => of_number(first, f64::sqrt),
            Self::Concat => concat(arguments).map_or(Datum::Undefined, Datum::from),
            Self::Length => of_text(first, |text| length(text).into()),
            Self::Lower => of_text(first, |text| text.to_lowercase().into()),
            Self::Upper => of_text(first, |text| text.to_uppercase().into()),
            Self::Substring => substring(first, second, arguments.get(2)),
            Self::IndexOf => of_texts(first, second, |text, part| index_of(text, part).into()),
            Self::StartsWith => of_texts(first, second, |text, part| text.starts_with(part).into()),
            Self::EndsWith => of_texts(first, second, |text, part| text.ends_with(part).into()),
            Self::Contains => of_texts(first, second, |text, part| text.contains(part).into()),
            Self::ArrayContains => array_contains(first, second).into(),
        }
    }
}

fn of_number<'a>(value: &Datum<'_>, function: impl Fn(f64) -> f64) -> Datum<'a> {
    value.as_number().map(function).into()
}

fn of_text<'a>(value: &Datum<'_>, function: impl Fn(&str) -> Datum<'a>) -> Datum<'a> {
    value.as_text().map_or(Datum::Undefined, function)
}

fn of_texts<'a>(
    one: &Datum<'_>,
    other: &Datum<'_>,
    function: impl Fn(&str, &str) -> Datum<'a>,
) -> Datum<'a> {
    match (one.as_text(), other.as_text()) {
        (Some(one), Some(other)) => function(one, other),
        _ => Datum::Undefined,
    }
}

fn array<'d>(value: &'d Datum<'_>) -> Option<&'d [Value]> {
    match value {
        Datum::Composite(composite) => composite.as_array().map(Vec::as_slice),
        _ => None,
    }
}

fn as_number<'a>(value: &Datum<'_>) -> Datum<'a> {
    match value {
        Datum::Number(number) => Datum::Number(number.clone()),
        Datum::Text(text) => text.trim().parse::<f64>().ok().into(),
        _ => Datum::Undefined,
    }
}

fn concat(arguments: &[Datum<'_>]) -> Option<String> {
    arguments.iter().map(Datum::as_text).collect()
}

/// Characters, not bytes.
fn length(text: &str) -> Option<f64> {
    Some(text.chars().count() as f64)
}

/// Where `part` begins, in characters; -1 if it is not there.
fn index_of(text: &str, part: &str) -> Option<f64> {
    match text.find(part).and_then(|at| text.get(..at)) {
        Some(before) => length(before),
        None => Some(-1.0),
    }
}

fn substring<'a>(text: &Datum<'a>, start: &Datum<'_>, length: Option<&Datum<'_>>) -> Datum<'a> {
    let start = start.as_number().and_then(index);
    let length = match length {
        None => Some(usize::MAX),
        Some(length) => length.as_number().and_then(index),
    };
    match (text.as_text(), start, length) {
        (Some(text), Some(start), Some(length)) => {
            Datum::Text(Cow::Owned(text.chars().skip(start).take(length).collect()))
        }
        _ => Datum::Undefined,
    }
}

/// A count of characters; none for what is negative or no integer.
fn index(value: f64) -> Option<usize> {
    // The cast saturates, and no text has that many characters.
    (value >= 0.0 && value.fract() == 0.0).then_some(value as usize)
}

fn array_contains(haystack: &Datum<'_>, needle: &Datum<'_>) -> Option<bool> {
    let items = array(haystack)?;
    if *needle == Datum::Undefined {
        return None;
    }
    Some(items.iter().any(|item| match (needle, item) {
        (Datum::Composite(needle), item) => **needle == *item,
        (needle, item) => needle.equals(&Datum::of(item)) == Some(true),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn call(name: &str, arguments: &[Value]) -> Option<Value> {
        let (function, arity) = Function::find(name).unwrap();
        assert!(arity.contains(&arguments.len()), "{name}");
        let arguments: Vec<_> = arguments.iter().map(Datum::of).collect();
        function.call(&arguments).into_json()
    }

    #[test]
    fn functions_give_what_they_are_for() {
        let table = [
            ("Is_Defined", vec![json!(null)], json!(true)),
            ("IS_NULL", vec![json!(null)], json!(true)),
            ("is_bool", vec![json!(1)], json!(false)),
            ("is_number", vec![json!(1)], json!(true)),
            ("is_string", vec![json!("")], json!(true)),
            ("is_array", vec![json!([])], json!(true)),
            ("is_object", vec![json!([])], json!(false)),
            ("is_object", vec![json!({})], json!(true)),
            ("is_primitive", vec![json!(null)], json!(true)),
            ("is_primitive", vec![json!({})], json!(false)),
            ("as_number", vec![json!("1.5")], json!(1.5)),
            ("as_number", vec![json!(7)], json!(7)),
            ("abs", vec![json!(-2)], json!(2)),
            ("exp", vec![json!(0)], json!(1)),
            ("power", vec![json!(2), json!(10)], json!(1024)),
            ("square", vec![json!(3)], json!(9)),
            ("ceiling", vec![json!(1.2)], json!(2)),
            ("floor", vec![json!(-1.2)], json!(-2)),
            ("sign", vec![json!(-0.5)], json!(-1)),
            ("sign", vec![json!(0)], json!(0)),
            ("sqrt", vec![json!(9)], json!(3)),
            ("concat", vec![json!("a"), json!("b"), json!("c")], json!("abc")),
            ("length", vec![json!("é1")], json!(2)),
            ("lower", vec![json!("AbC")], json!("abc")),
            ("upper", vec![json!("AbC")], json!("ABC")),
            ("substring", vec![json!("héllo"), json!(1), json!(3)], json!("éll")),
            ("substring", vec![json!("hello"), json!(3)], json!("lo")),
            ("substring", vec![json!("hello"), json!(9)], json!("")),
            ("index_of", vec![json!("héllo"), json!("llo")], json!(2)),
            ("index_of", vec![json!("hello"), json!("x")], json!(-1)),
            ("startswith", vec![json!("hello"), json!("he")], json!(true)),
            ("STARTS_WITH", vec![json!("hello"), json!("He")], json!(false)),
            ("EndsWith", vec![json!("hello"), json!("lo")], json!(true)),
            ("ends_with", vec![json!("hello"), json!("he")], json!(false)),
            ("contains", vec![json!("hello"), json!("ell")], json!(true)),
            ("array_contains", vec![json!(["a", 1]), json!(1.0)], json!(true)),
            ("array_contains", vec![json!(["a"]), json!("b")], json!(false)),
            ("array_contains", vec![json!([{"a": 1}]), json!({"a": 1})], json!(true)),
        ];
        for (name, arguments, expected) in table {
            assert_eq!(call(name, &arguments), Some(expected), "{name} {arguments:?}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_undefined() {
        let table = [
            ("as_number", vec![json!("x")]),
            ("as_number", vec![json!("inf")]),
            ("abs", vec![json!("1")]),
            ("sqrt", vec![json!(-1)]),
            ("exp", vec![json!(1e6)]),
            ("power", vec![json!(2), json!("1")]),
            ("concat", vec![json!("a"), json!(1)]),
            ("length", vec![json!([1])]),
            ("substring", vec![json!("a"), json!(-1)]),
            ("substring", vec![json!("a"), json!(0), json!(0.5)]),
            ("startswith", vec![json!("a"), json!(null)]),
            ("array_contains", vec![json!("abc"), json!("a")]),
        ];
        for (name, arguments) in table {
            assert_eq!(call(name, &arguments), None, "{name} {arguments:?}");
        }
        assert_eq!(Function::IsDefined.call(&[Datum::Undefined]), Datum::Bool(false));
        assert_eq!(Function::find("nothing"), None);
    }
}
