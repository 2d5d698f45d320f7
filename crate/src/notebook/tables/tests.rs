//! What tables say.

use super::*;

#[derive(Debug)]
#[allow(dead_code)]
struct Outer {
    some_number: Option<f64>,
    list: Vec<Inner>,
    text: &'static str,
}

#[derive(Debug)]
#[allow(dead_code)]
struct Inner(u8, Kind);

#[derive(Debug)]
enum Kind {
    Plain,
}

#[test]
fn any_value_is_a_table_of_its_fields() {
    let value =
        Outer { some_number: Some(0.5), list: vec![Inner(1, Kind::Plain), Inner(2, Kind::Plain)], text: "a: b" };
    let table = fields(&value);
    assert_eq!(table.title, "Outer");
    let rows: Vec<_> = table.rows.iter().map(|row| row.join(" = ")).collect();
    assert_eq!(rows, ["some number = Some(0.5)", "list = [Inner(1, Plain), Inner(2, Plain)]", "text = \"a: b\""]);
    assert_eq!(fields(&Kind::Plain), Table { title: "Plain".to_owned(), ..Table::default() });
}

#[test]
fn a_long_field_is_cut() {
    let value = Outer { some_number: None, list: (0..200).map(|i| Inner(i, Kind::Plain)).collect(), text: "" };
    let cut = &fields(&value).rows[1][1];
    assert!(cut.ends_with(" …") && cut.chars().count() == 162, "{cut}");
}
