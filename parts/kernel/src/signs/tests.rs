use super::*;

const NAME: &str = "k7";

/// What is shown of a text, and how the cell ended by then.
fn read(lines: &[&str]) -> (String, Option<CellEnd>) {
    let (mut signs, mut ended) = (Signs::new(NAME, false), Vec::new());
    let mut shown = String::new();
    for line in lines {
        shown += &signs.take(line, Instant::now(), &mut ended);
    }
    let failure = signs.failure();
    shown += &signs.release();
    (shown, failure)
}

fn question(type_name: &str, message: &str) -> Option<CellEnd> {
    Some(CellEnd::Question { type_name: type_name.to_owned(), message: message.to_owned() })
}

// As evcxr 0.22 passes it on with Rust 1.95.
const PANIC: [&str; 9] = [
    "\n",
    "thread '<unnamed>' (6258) panicked at src/lib.rs:113:1:\n",
    "oh\n",
    "no 5\n",
    "stack backtrace:\n",
    "   0: __rustc::rust_begin_unwind\n",
    "             at /rustc/5980/library/std/src/panicking.rs:689:5\n",
    "   1: run_user_code_7\n",
    "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.\n",
];

#[test]
fn an_error_is_what_stood_before_the_sign_of_a_question_mark() {
    let error = "\u{1}k7:core::num::error::ParseIntError\u{2}invalid digit found in string\n";
    let (shown, failure) = read(&["before\n", error, "\u{1}k7?\n"]);
    assert_eq!(
        (shown.as_str(), failure),
        ("before\n", question("core::num::error::ParseIntError", "invalid digit found in string"))
    );
    // Of several lines, and of none.
    let (shown, failure) = read(&["\u{1}k7:E\u{2}one\n", "\n", "two\n", "\u{1}k7?\n"]);
    assert_eq!((shown.as_str(), failure), ("", question("E", "one\n\ntwo")));
    assert_eq!(read(&["\u{1}k7:Silent\u{2}\n", "\u{1}k7?\n"]), (String::new(), question("Silent", "")));
}

#[test]
fn what_a_cell_prints_itself_is_shown_and_is_no_error() {
    let printed =
        ["\u{1}k7:i32\u{2}5\n", "more\n", "\u{1}k7:i32\u{2}6\n", "\n", "EVCXR_ERROR_OCCURRED\n", "\u{1}other?\n"];
    assert_eq!(read(&printed), ("5\nmore\n6\n\nEVCXR_ERROR_OCCURRED\n\u{1}other?\n".to_owned(), None));
}

#[test]
fn a_panic_is_taken_out_with_its_backtrace() {
    let lines: Vec<&str> = ["before\n"].into_iter().chain(PANIC).chain(["after\n", "\u{1}k7!\n"]).collect();
    let (shown, failure) = read(&lines);
    assert_eq!(shown, "before\nafter\n");
    let Some(CellEnd::Panic(panic)) = failure else { panic!("{failure:?}") };
    assert_eq!(panic.message, ["oh", "no 5"]);
    assert_eq!((panic.backtrace.len(), panic.place()), (5, None));
    let elsewhere = Panic { heading: "thread 'w' (1) panicked at /a/b.rs:20:5:".to_owned(), ..panic };
    assert_eq!(elsewhere.place(), Some("/a/b.rs:20:5"));
}

#[test]
fn a_panic_that_the_cell_survives_is_shown_without_its_backtrace() {
    let lines: Vec<&str> = PANIC.into_iter().chain(["after\n"]).collect();
    let (shown, failure) = read(&lines);
    let text = "thread '<unnamed>' (6258) panicked at src/lib.rs:113:1:\noh\nno 5\n\
                note: a backtrace of 5 lines, shown if KERNEL_BACKTRACE=full\n";
    assert_eq!((shown, failure), (format!("after\n{text}"), None));
    let mut whole = Signs::new(NAME, true);
    let text = whole.take(&PANIC.concat(), Instant::now(), &mut Vec::new()) + &whole.release();
    assert_eq!(text, PANIC[1..].concat());
}

#[test]
fn of_two_panics_the_last_one_ended_the_cell() {
    let second = ["thread 'a' (1) panicked at x.rs:1:1:\n", "second\n", "stack backtrace:\n", "   0: a\n"];
    let lines: Vec<&str> = PANIC.into_iter().chain(second).chain(["\u{1}k7!\n"]).collect();
    let (shown, failure) = read(&lines);
    assert!(shown.contains("no 5") && !shown.contains("second"), "{shown}");
    assert!(matches!(failure, Some(CellEnd::Panic(panic)) if panic.message == ["second"]));
}

#[test]
fn a_panic_that_was_shown_meanwhile_is_still_known() {
    let (mut signs, start, mut ended) = (Signs::new(NAME, false), Instant::now(), Vec::new());
    assert_eq!(signs.take(&PANIC.concat(), start, &mut ended), "");
    assert_eq!(signs.deadline(), Some(start + HOLD_PANIC));
    assert!(signs.release().contains("no 5"));
    assert_eq!(signs.deadline(), None);
    signs.take("\u{1}k7!\n", start, &mut ended);
    assert!(matches!(signs.failure(), Some(CellEnd::Panic(panic)) if panic.message == ["oh", "no 5"]));
}

#[test]
fn end_lines_are_found_behind_unfinished_lines_too() {
    let (mut signs, mut ended) = (Signs::new(NAME, false), Vec::new());
    let shown = signs.take(&format!("no newline{}", end_line(NAME, 41)), Instant::now(), &mut ended);
    assert_eq!((shown.as_str(), ended.as_slice()), ("no newline", &[41][..]));
}

#[test]
fn little_is_held_back_and_not_for_long() {
    let (mut signs, start, mut ended) = (Signs::new(NAME, false), Instant::now(), Vec::new());
    assert_eq!(signs.take("\u{1}k7:i32\u{2}5\n", start, &mut ended), "");
    assert_eq!(signs.deadline(), Some(start + HOLD));
    let shown = signs.take(&"long\n".repeat(MOST), start, &mut ended);
    assert_eq!(shown.len(), 2 + 5 * MOST);
}

#[test]
fn types_are_named_without_their_modules() {
    assert_eq!(short("alloc::boxed::Box<dyn core::error::Error + core::marker::Send>"), "Box<dyn Error + Send>");
    assert_eq!(short("core::num::error::ParseIntError"), "ParseIntError");
    assert_eq!(short("&str"), "&str");
    assert_eq!(short("(i32, alloc::string::String)"), "(i32, String)");
}

#[test]
fn the_macros_hold_the_name_and_balance() {
    let macros = macros("k7");
    assert_eq!(macros.matches("\\u{1}k7").count(), 3);
    let count = |c: char| macros.matches(c).count();
    assert_eq!((count('{'), count('(')), (count('}'), count(')')));
}
