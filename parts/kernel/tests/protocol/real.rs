//! The same with evcxr_jupyter itself: what it really says.

use std::path::PathBuf;

use crate::front::{FrontEnd, Proxy};

/// The program, from `EVCXR_JUPYTER`; `cargo lab test` sets it.
fn evcxr() -> Option<PathBuf> {
    let program = std::env::var_os("EVCXR_JUPYTER").map(PathBuf::from).filter(|path| path.is_file());
    if program.is_none() {
        println!("skipped: EVCXR_JUPYTER names no kernel; `cargo lab test` sets it");
    }
    program
}

#[tokio::test]
async fn evcxr_s_cells_tell_how_they_ended() {
    let Some(evcxr) = evcxr() else { return };
    let words = [evcxr.to_str().unwrap(), "--control_file", "{own_connection_file}"];
    let proxy = Proxy::before(words.map(str::to_owned).to_vec()).await;
    let mut front = FrontEnd::connect(&proxy.info).await;
    let good = front.run("let x = 5; println!(\"out\"); eprintln!(\"{}\", x); eprint!(\"no newline\");").await;
    assert_eq!(good.status(), "ok");
    let mut shown = good.shown();
    shown.sort();
    assert_eq!(shown, ["execute_input", "stream 5\nno newline", "stream out"]);

    let question = front.run("let n: i64 = \"many\".parse()?;").await;
    assert_eq!(question.shown(), ["execute_input", "error invalid digit found in string"]);
    assert_eq!(question.reply.content["ename"], "ParseIntError");

    let silent = "struct Silent; impl std::fmt::Display for Silent { fn fmt(&self, _: &mut std::fmt::Formatter) -> \
                  std::fmt::Result { Ok(()) } }\nErr::<(), Silent>(Silent)?;";
    assert_eq!(front.run(silent).await.reply.content["ename"], "Silent");
    // An error that looks like a warning, and text that looks like an error.
    assert_eq!(front.run("Err::<(), String>(\"[W] all is well\".to_owned())?;").await.status(), "error");
    let lying = front.run("eprintln!(\"thread 'main' panicked at src/lib.rs:1:1:\"); println!(\"EVCXR\");").await;
    assert_eq!(lying.status(), "ok");

    let panic = front.run("let y = x + 1; panic!(\"oh\\nno {}\", y);").await;
    assert_eq!(panic.shown(), ["execute_input", "error oh\nno 6"]);
    let caught = front.run("std::panic::catch_unwind(|| panic!(\"caught\")).is_err()").await;
    assert_eq!(caught.status(), "ok");
    assert!(caught.shown().iter().any(|shown| shown.contains("caught")), "{:?}", caught.shown());

    assert_eq!(front.run("println!(\"{} {}\", x);").await.status(), "error");
    let open = front.run("use std::io::Write; print!(\"open\"); std::io::stdout().flush().unwrap();").await;
    assert_eq!(open.shown(), ["execute_input", "stream open"], "evcxr alone would wait for ever");
    assert_eq!(front.run("x").await.published[2].content["data"]["text/plain"], "5", "variables live on");

    assert_eq!(front.run("std::process::abort();").await.reply.content["ename"], "ProcessEnded");
    assert_eq!(front.run("Err::<(), &str>(\"still told\")?;").await.reply.content["evalue"], "still told");
    assert_eq!(front.run(":clear").await.status(), "ok");
    assert_eq!(front.run("Err::<(), &str>(\"and after :clear\")?;").await.reply.content["evalue"], "and after :clear");
}
