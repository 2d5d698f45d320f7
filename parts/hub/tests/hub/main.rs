//! Weight files from a hub on this machine's own address: what a good one, a bad one and none at all lead to.
#![cfg(unix)]

mod server;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use humerus_hub::{Fetched, Fetching, Hub, HubError, HubFile};
use server::{COMMIT, Plan, Redirect, Server, Silent, sha256};

const FOLDER: &str = "models--timm--densenet121.ra_in1k";

/// A file that is not pinned: of the branch, whatever it is.
fn file() -> HubFile {
    HubFile { revision: "main".into(), ..HubFile::imagenet("densenet121").unwrap() }
}

/// 300,001 bytes without a pattern.
fn content() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..300_001).map(|_| next()).collect()
}

/// A server and an empty cache.
struct Bench {
    server: Server,
    cache: tempfile::TempDir,
}

impl Bench {
    fn new(plan: Plan) -> Bench {
        Bench { server: Server::start(plan), cache: tempfile::tempdir().unwrap() }
    }

    fn hub(&self) -> Hub {
        hub(&self.server.endpoint, self.cache.path())
    }

    fn fetch(&self) -> Result<Fetched, HubError> {
        self.hub().fetch(&file(), &mut |_| ())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.cache.path().join(FOLDER).join(below)
    }

    fn blob(&self) -> PathBuf {
        self.path("blobs").join(sha256(&content()))
    }

    fn part(&self) -> PathBuf {
        self.blob().with_extension("humerus.part")
    }

    /// The content in the cache as Python leaves it.
    fn cached(&self, content_there: &[u8]) {
        for folder in ["blobs", "refs", &format!("snapshots/{COMMIT}")] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        fs::write(self.blob(), content_there).unwrap();
        fs::write(self.path("refs/main"), COMMIT).unwrap();
        let target = format!("../../blobs/{}", sha256(&content()));
        symlink(target, self.path(&format!("snapshots/{COMMIT}/model.safetensors"))).unwrap();
    }

    /// That nothing looks like a file that was fetched.
    fn assert_nothing_cached(&self) {
        assert!(!self.blob().exists());
        assert!(!self.path("refs/main").exists());
        assert!(!self.path("snapshots").exists());
    }
}

/// A hub that gives up quickly.
fn hub(endpoint: &str, cache: &Path) -> Hub {
    Hub { retries: 0, pause: Duration::from_millis(1), ..Hub::new(endpoint, cache) }
}

/// An address at which nobody listens.
fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// The message of a failure, one line.
fn refusal(fetched: Result<Fetched, HubError>) -> String {
    let line = fetched.unwrap_err().to_string();
    assert!(!line.contains('\n') && line.len() < 1000, "{line}");
    line
}

/// The same of [`file`]: it names the file, the address and what to do.
fn failure(fetched: Result<Fetched, HubError>) -> String {
    let line = refusal(fetched);
    assert!(line.starts_with("cannot fetch timm/densenet121.ra_in1k/model.safetensors ("), "{line}");
    assert!(line.contains("/timm/densenet121.ra_in1k/resolve/main/model.safetensors"), "{line}");
    assert!(line.contains("pass it with --weights FILE, or "), "{line}");
    line
}

#[test]
fn a_large_file_is_fetched_once_and_laid_out_as_python_does() {
    let bench = Bench::new(Plan::large(&content()));
    let mut told = Vec::new();
    let fetched = bench.hub().fetch(&file(), &mut |progress| told.push(progress)).unwrap();
    let link = bench.path(&format!("snapshots/{COMMIT}/model.safetensors"));
    let expected =
        Fetched { path: link.clone(), commit: COMMIT.into(), sha256: Some(sha256(&content())), was_cached: false };
    assert_eq!(fetched, expected);
    assert_eq!(fs::read(&link).unwrap(), content());
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../blobs").join(sha256(&content())));
    assert_eq!(fs::read_to_string(bench.path("refs/main")).unwrap(), COMMIT);
    assert_eq!(fs::read_dir(bench.path("blobs")).unwrap().count(), 1);
    let methods: Vec<_> = bench.server.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["HEAD", "GET", "GET"]);
    let lines: Vec<_> = told.iter().map(Fetching::to_string).collect();
    let name = "timm/densenet121.ra_in1k/model.safetensors";
    assert_eq!(lines, [format!("fetched 0.0 of 0.3 MB of {name}"), format!("fetched 0.3 of 0.3 MB of {name}")]);

    assert_eq!(bench.fetch().unwrap(), Fetched { was_cached: true, ..expected });
    assert_eq!(bench.server.asked(), []);
}

#[test]
fn a_small_file_without_checksum_in_a_folder_is_fetched() {
    let bench = Bench::new(Plan::small(b"{}"));
    let file = HubFile { file: "onnx/v1/config.json".into(), revision: "refs/pr/5".into(), ..file() };
    let fetched = bench.hub().fetch(&file, &mut |_| ()).unwrap();
    assert_eq!((fs::read(&fetched.path).unwrap(), fetched.sha256), (b"{}".to_vec(), None));
    assert_eq!(fs::read_to_string(bench.path("refs/refs/pr/5")).unwrap(), COMMIT);
    let blob = Path::new("../../../../blobs").join("c".repeat(40));
    assert_eq!(fs::read_link(fetched.path).unwrap(), blob);
    assert_eq!(bench.server.asked()[0].path, "/timm/densenet121.ra_in1k/resolve/refs%2Fpr%2F5/onnx/v1/config.json");
    assert!(bench.hub().fetch(&file, &mut |_| ()).unwrap().was_cached);
    assert_eq!(bench.server.asked(), []);
}

#[test]
fn a_commit_is_a_revision_without_a_reference() {
    let bench = Bench::new(Plan::large(&content()));
    let file = HubFile { revision: COMMIT.into(), ..file() };
    assert!(!bench.hub().fetch(&file, &mut |_| ()).unwrap().was_cached);
    assert!(!bench.path("refs").exists());
    assert!(bench.hub().fetch(&file, &mut |_| ()).unwrap().was_cached);
    // The branch is asked for, and its content is found to be there.
    assert!(bench.fetch().unwrap().was_cached);
    assert_eq!(bench.server.sent().len(), 1);
}

#[test]
fn what_python_fetched_or_a_person_put_there_needs_no_request() {
    let bench = Bench::new(Plan::large(&content()));
    bench.cached(&content());
    let fetched = bench.fetch().unwrap();
    assert!(fetched.was_cached && fetched.sha256.is_some());

    let by_hand = bench.cache.path().join("models--timm--densenet169.tv_in1k/snapshots/main/model.safetensors");
    fs::create_dir_all(by_hand.parent().unwrap()).unwrap();
    fs::write(&by_hand, "weights").unwrap();
    let theirs = HubFile { revision: "main".into(), ..HubFile::imagenet("densenet169").unwrap() };
    let fetched = bench.hub().fetch(&theirs, &mut |_| ()).unwrap();
    assert_eq!((fetched.path, fetched.sha256), (by_hand, None));
    assert_eq!(bench.server.asked(), []);
}

#[test]
fn offline_makes_no_request() {
    let bench = Bench::new(Plan::large(&content()));
    let hub = Hub { offline: true, ..bench.hub() };
    let line = failure(hub.fetch(&file(), &mut |_| ()));
    assert!(line.contains("(it is not in the cache, and HF_HUB_OFFLINE allows no request)"), "{line}");
    assert!(
        line.contains(&format!("copy it to {};", bench.path("snapshots/main/model.safetensors").display())),
        "{line}"
    );
    bench.cached(&content());
    assert!(hub.fetch(&file(), &mut |_| ()).unwrap().was_cached);
    fs::write(bench.blob(), "damaged").unwrap();
    let line = failure(hub.fetch(&file(), &mut |_| ()));
    assert!(
        line.contains(&format!(
            "model.safetensors is damaged: SHA-256: expected {}, got {}",
            sha256(&content()),
            sha256(b"damaged")
        )),
        "{line}"
    );
    assert!(bench.blob().exists());
    assert_eq!(bench.server.asked(), []);
}

#[test]
fn a_damaged_file_in_the_cache_is_fetched_again() {
    let bench = Bench::new(Plan::large(&content()));
    bench.cached(&content()[1..]);
    let mut told = Vec::new();
    let fetched = bench.hub().fetch(&file(), &mut |progress| told.push(progress)).unwrap();
    assert_eq!((fs::read(fetched.path).unwrap(), fetched.was_cached), (content(), false));
    assert!(matches!(&told[0], Fetching::Notice(text) if text.contains("is damaged (SHA-256: expected ")));
}

#[test]
fn refusals_say_what_to_do() {
    let bench = Bench::new(Plan::large(&content()));
    let terms = "(403: accept the repository's terms on its page";
    for (refuses, token, expected) in [
        ((404, "EntryNotFound"), None, "(404: the repository has no such file)"),
        ((404, "RevisionNotFound"), None, "(404: the repository has no such revision)"),
        ((404, "RepoNotFound"), None, "(404: there is no such repository)"),
        ((404, ""), None, "(404: there is no such repository, revision or file)"),
        ((401, "RepoNotFound"), None, "(401: there is no such repository, or it is not public: then set HF_TOKEN)"),
        ((403, "GatedRepo"), None, &format!("{terms} and set HF_TOKEN)")),
        ((403, "GatedRepo"), Some("t"), &format!("{terms} with the account of HF_TOKEN)")),
        ((403, ""), Some("t"), "(403: there is no such repository, or HF_TOKEN does not open it)"),
        ((418, ""), None, " answered 418)"),
        ((500, ""), None, " answered 500)"),
    ] {
        bench.server.change(|plan| plan.refuses = Some(refuses));
        let hub = Hub { token: token.map(str::to_owned), retries: 2, ..bench.hub() };
        let line = failure(hub.fetch(&file(), &mut |_| ()));
        assert!(line.contains(expected), "{line}");
        assert_eq!(bench.server.asked().len(), if refuses.0 == 500 { 3 } else { 1 }, "{line}");
    }
    assert_eq!(fs::read_dir(bench.cache.path()).unwrap().count(), 0);
}

#[test]
fn a_failing_server_is_tried_again_a_few_times() {
    let bench = Bench::new(Plan { fails: 2, ..Plan::large(&content()) });
    let hub = Hub { retries: 2, ..bench.hub() };
    let mut told = Vec::new();
    assert!(!hub.fetch(&file(), &mut |progress| told.push(progress.to_string())).unwrap().was_cached);
    assert!(told[0].starts_with("note: ") && told[1].ends_with(" answered 503; trying again"), "{told:?}");
}

#[test]
fn a_file_that_was_cut_goes_on_where_it_ended() {
    let bench = Bench::new(Plan { cuts: [100_000].into(), ..Plan::large(&content()) });
    let line = failure(bench.fetch());
    assert!(line.contains("(the connection ended after 100000 of 300001 bytes, which are kept)"), "{line}");
    bench.assert_nothing_cached();
    assert_eq!(fs::metadata(bench.part()).unwrap().len(), 100_000);
    assert_eq!(bench.server.sent(), [(None, 100_000)]);

    assert_eq!(fs::read(bench.fetch().unwrap().path).unwrap(), content());
    assert_eq!(bench.server.sent(), [(Some("bytes=100000-".into()), 200_001)]);
    assert!(!bench.part().exists());
}

#[test]
fn a_file_that_is_cut_again_and_again_arrives_within_one_fetch() {
    let bench = Bench::new(Plan { cuts: [0, 100_000, 50_000].into(), ..Plan::large(&content()) });
    let hub = Hub { retries: 3, ..bench.hub() };
    assert_eq!(fs::read(hub.fetch(&file(), &mut |_| ()).unwrap().path).unwrap(), content());
    let range = |from: usize| Some(format!("bytes={from}-"));
    assert_eq!(bench.server.sent(), [(None, 100_000), (range(100_000), 50_000), (range(150_000), 150_001)]);
}

#[test]
fn a_server_that_ignores_the_range_sends_the_file_anew() {
    let bench = Bench::new(Plan { cuts: [100_000].into(), ignores_range: true, ..Plan::large(&content()) });
    failure(bench.fetch());
    assert_eq!(fs::read(bench.fetch().unwrap().path).unwrap(), content());
    assert_eq!(bench.server.sent(), [(None, 100_000), (Some("bytes=100000-".into()), 300_001)]);
}

#[test]
fn a_part_that_does_not_fit_is_given_up() {
    let longer = [content(), vec![0]].concat();
    let of_another = vec![7; 1000];
    for (what, part, plan, sent) in [
        ("longer than the file", &longer[..], Plan::large(&content()), 1),
        ("of another file", &of_another, Plan::large(&content()), 2),
        ("as long, of another file", &vec![7; 300_001], Plan::large(&content()), 1),
        ("complete", &content(), Plan::large(&content()), 0),
    ] {
        let bench = Bench::new(plan);
        fs::create_dir_all(bench.path("blobs")).unwrap();
        fs::write(bench.part(), part).unwrap();
        assert_eq!(fs::read(bench.fetch().unwrap().path).unwrap(), content(), "{what}");
        assert_eq!(bench.server.sent().len(), sent, "{what}");
    }
    // The same without a checksum to find it by.
    let bench = Bench::new(Plan::small(b"{}"));
    let part = bench.path("blobs").join(format!("{}.humerus.part", "c".repeat(40)));
    fs::create_dir_all(bench.path("blobs")).unwrap();
    fs::write(part, "{}, and more").unwrap();
    assert_eq!(fs::read(bench.fetch().unwrap().path).unwrap(), b"{}");
}

#[test]
fn content_from_another_place_than_asked_for_is_refused() {
    let bench = Bench::new(Plan { cuts: [1000].into(), wrong_start: Some(7), ..Plan::large(&content()) });
    failure(bench.fetch());
    let line = failure(bench.fetch());
    assert!(line.contains("does not answer like a hub: 206, but not from byte 1000 on"), "{line}");
    bench.assert_nothing_cached();
}

#[test]
fn a_wrong_checksum_leaves_nothing_behind() {
    let bench = Bench::new(Plan { content: vec![7; 300_001], ..Plan::large(&content()) });
    let line = failure(bench.fetch());
    let expected = format!("expected {}, got {}", sha256(&content()), sha256(&[7; 300_001]));
    assert!(line.contains(&expected), "{line}");
    bench.assert_nothing_cached();
    assert!(!bench.part().exists());
    bench.server.change(|plan| plan.content = content());
    assert!(!bench.fetch().unwrap().was_cached);
}

#[test]
fn more_than_the_file_is_refused() {
    let bench = Bench::new(Plan { excess: 100_000, ..Plan::large(&content()) });
    let line = failure(bench.fetch());
    assert!(line.contains("more than the file's 300001 bytes"), "{line}");
    bench.assert_nothing_cached();
    assert!(!bench.part().exists());
}

#[test]
fn a_server_that_is_no_hub_is_named() {
    let circle = Plan { redirect: Redirect::Circle, ..Plan::large(&content()) };
    let circle_at_once = Plan { redirect: Redirect::Circle, ..Plan::small(b"{}") };
    let nowhere = Plan { redirect: Redirect::Nowhere, ..Plan::large(&content()) };
    let elsewhere = Plan { redirect: Redirect::Content("gopher://x".into()), ..Plan::large(&content()) };
    let web = Plan { tells_commit: false, ..Plan::small(b"<html>") };
    let escaping = Plan { etag: "../../../x".into(), ..Plan::small(b"{}") };
    for (plan, expected) in [
        (circle, "more than 10 redirects"),
        (circle_at_once, "more than 10 redirects"),
        (nowhere, "a redirect to \"\""),
        (elsewhere, "a redirect to \"gopher://x/content/"),
        (web, "no X-Repo-Commit of a plain name"),
        (escaping, "no ETag of a plain name"),
    ] {
        let bench = Bench::new(plan);
        let line = failure(bench.fetch());
        assert!(line.contains(expected), "{line}");
        bench.assert_nothing_cached();
    }
}

#[test]
fn a_silent_server_ends_in_an_error() {
    let bench = Bench::new(Plan { silent: Silent::Always, ..Plan::large(&content()) });
    let hub = Hub { read_timeout: Duration::from_millis(300), ..bench.hub() };
    let start = Instant::now();
    let line = failure(hub.fetch(&file(), &mut |_| ()));
    assert!(line.contains("(no answer from 127.0.0.1:") && line.contains(" for 0.3 s)"), "{line}");
    bench.server.change(|plan| plan.silent = Silent::AfterHalfTheBody);
    let line = failure(hub.fetch(&file(), &mut |_| ()));
    assert!(line.contains(" for 0.3 s)"), "{line}");
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(fs::metadata(bench.part()).unwrap().len(), 150_000);
    bench.server.change(|plan| plan.silent = Silent::Never);
    bench.server.asked();
    bench.fetch().unwrap();
    assert_eq!(bench.server.sent(), [(Some("bytes=150000-".into()), 150_001)]);
}

#[test]
fn no_network_says_how_to_do_without() {
    let cache = tempfile::tempdir().unwrap();
    let mut notices = 0;
    let hub = Hub { retries: 2, ..hub(&nobody(), cache.path()) };
    let line = failure(hub.fetch(&file(), &mut |_| notices += 1));
    assert!(line.contains("(no connection to 127.0.0.1:") && line.contains("refused"), "{line}");
    assert!(line.contains(&format!("from {}/timm/", hub.endpoint)), "{line}");
    assert!(line.contains(&format!("/{FOLDER}/snapshots/main/model.safetensors; --weights random ")), "{line}");
    assert_eq!(notices, 2);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let elsewhere = Server::start(Plan::large(&content()));
    let redirect = Redirect::Content(elsewhere.endpoint.clone());
    let bench = Bench::new(Plan { redirect, ..Plan::large(&content()) });
    Hub { token: Some("secret".into()), ..bench.hub() }.fetch(&file(), &mut |_| ()).unwrap();
    assert!(bench.server.asked().iter().all(|asked| asked.token.as_deref() == Some("Bearer secret")));
    assert!(elsewhere.asked().iter().all(|asked| asked.token.is_none() && asked.path.contains("?signed=yes")));
}

#[test]
fn names_and_addresses_that_cannot_be_are_refused_before_any_request() {
    let bench = Bench::new(Plan::large(&content()));
    for (repo, revision, name) in [
        ("../x", "main", "f"),
        ("a/b/c", "main", "f"),
        ("a", "", "f"),
        ("a", "..", "f"),
        ("a", "main", "/etc/x"),
        ("a", "main", "x/../y"),
        ("a", "main", "f?x"),
        ("a b", "main", "f"),
    ] {
        let file = HubFile { repo: repo.into(), revision: revision.into(), file: name.into() };
        let error = bench.hub().fetch(&file, &mut |_| ()).unwrap_err();
        assert!(matches!(error, HubError::Name { .. }), "{error}");
    }
    assert!(HubFile::imagenet("densenet161").is_ok_and(|file| file.repo == "timm/densenet161.tv_in1k"));
    assert!(HubFile::imagenet("densenet121.tv_in1k").is_ok_and(|file| file.repo == "timm/densenet121.tv_in1k"));
    let error = HubFile::imagenet("densenet").unwrap_err().to_string();
    assert!(error.starts_with("ImageNet weights: expected one of densenet121.ra_in1k, "), "{error}");

    for endpoint in ["", "huggingface.co", "ftp://x", "http://", "https:///x", "http://a b", "http://x?y"] {
        let error = hub(endpoint, bench.cache.path()).fetch(&file(), &mut |_| ()).unwrap_err().to_string();
        assert!(error.starts_with("HF_ENDPOINT: expected an address such as https://"), "{error}");
    }
    assert_eq!(bench.server.asked(), []);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let bench = Bench::new(Plan::large(&content()));
    // No test of permissions, which do not hold root: files where folders should be.
    for at in [".locks", FOLDER, &format!("{FOLDER}/snapshots"), &format!("{FOLDER}/refs")] {
        let place = bench.cache.path().join(at);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, "").unwrap();
        let line = failure(bench.fetch());
        assert!(line.contains("(cache folder: /") && line.contains(at), "{line}");
        assert!(line.contains(", or set HF_HUB_CACHE to another folder;"), "{line}");
        fs::remove_file(place).unwrap();
    }
    assert!(bench.fetch().is_ok());
    let line = failure(hub(&bench.server.endpoint, Path::new("")).fetch(&file(), &mut |_| ()));
    assert!(line.contains("set HF_HUB_CACHE to another folder;"), "{line}");
}

#[test]
fn two_threads_at_once_fetch_the_file_once() {
    let bench = Bench::new(Plan { delay: Duration::from_millis(300), ..Plan::large(&content()) });
    let fetched: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| bench.fetch().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(fetched.iter().filter(|fetched| !fetched.was_cached).count(), 1);
    assert_eq!(bench.server.sent().len(), 1);
}

#[test]
fn a_process_that_never_ends_is_not_waited_for_for_ever() {
    let bench = Bench::new(Plan::large(&content()));
    let lock = bench.cache.path().join(".locks").join(FOLDER).join(format!("{}.lock", sha256(&content())));
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let held = fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let hub = Hub { wait: Duration::from_millis(250), ..bench.hub() };
    let mut told = Vec::new();
    let line = failure(hub.fetch(&file(), &mut |progress| told.push(progress)));
    assert!(line.contains(".lock for more than 0.25 s"), "{line}");
    assert_eq!(told, [Fetching::Waiting { file: file() }]);
}

#[test]
fn a_pinned_file_is_of_its_commit_and_of_no_other_content_from_whatever_server_or_cache() {
    let pinned = HubFile::imagenet("densenet121.tv_in1k").unwrap();
    let expected = pinned.pinned_sha256().unwrap();
    assert_eq!((pinned.revision.len(), expected.len()), (40, 64));
    let bench = Bench::new(Plan::large(&content()));
    let fetch = |tell: &mut dyn FnMut(Fetching)| bench.hub().fetch(&pinned, tell);
    let line = refusal(fetch(&mut |_| ()));
    assert!(line.contains(&format!("(SHA-256: expected {expected}, which is in the source of humerus, got")), "{line}");
    let asked = bench.server.asked();
    assert!(asked.iter().all(|asked| asked.method == "HEAD" && asked.path.contains(&pinned.revision)), "{asked:?}");
    // A server that lies about the checksum is found out by the content.
    bench.server.change(|plan| plan.etag = expected.to_owned());
    let line = refusal(fetch(&mut |_| ()));
    assert!(line.contains(&format!("(SHA-256: expected {expected}, got {}", sha256(&content()))), "{line}");
    // Nor does what lies in the cache pass, at the commit or where timm itself has it.
    for snapshot in [&pinned.revision, "main"] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(format!("models--timm--densenet121.tv_in1k/snapshots/{snapshot}"));
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("model.safetensors"), "other weights").unwrap();
        let line = refusal(hub(&nobody(), folder.path()).fetch(&pinned, &mut |_| ()));
        assert!(line.contains("model.safetensors; remove it to fetch it again"), "{line}");
    }
    bench.server.change(|plan| plan.moved = true);
    let file = HubFile::imagenet("densenet161").unwrap();
    let line = refusal(bench.hub().fetch(&file, &mut |_| ()));
    assert!(line.contains(&format!("commit {} was asked for, the hub gives {COMMIT}", file.revision)), "{line}");
}

#[test]
fn a_file_without_a_known_checksum_is_compared_with_its_first_use() {
    // One of those of which no checksum is known, if there is one left.
    let names = ["densenet121", "densenet161", "densenet169", "densenet201"].map(|it| HubFile::imagenet(it).unwrap());
    let Some(file) = names.into_iter().find(|file| file.pinned_sha256().is_none()) else { return };
    let bench = Bench::new(Plan::large(&content()));
    let fetch = |hub: &Hub| hub.fetch(&file, &mut |_| ());
    let first = fetch(&bench.hub()).unwrap();
    assert_eq!(first.sha256, Some(sha256(&content())));
    assert!(fetch(&bench.hub()).unwrap().was_cached);
    // The cache is emptied, and another content comes.
    let folder = bench.cache.path().join(format!("models--{}", file.repo.replace('/', "--")));
    for part in ["blobs", "snapshots"] {
        fs::remove_dir_all(folder.join(part)).unwrap();
    }
    bench.server.change(|plan| *plan = Plan::large(b"other weights"));
    let line = refusal(fetch(&bench.hub()));
    let expected =
        format!("it was {} when it was first used and is {} now", sha256(&content()), sha256(b"other weights"));
    assert!(line.contains(&expected), "{line}");
    let record = folder.join("humerus.first-use");
    assert!(line.contains(&format!("if that is right, remove {}", record.display())), "{line}");
    fs::remove_file(record).unwrap();
    assert_eq!(fetch(&bench.hub()).unwrap().sha256, Some(sha256(b"other weights")));
}

/// Fetches all five from the hub, 320 MB, and prints what belongs into the source.
#[test]
#[ignore = "asks the Hugging Face hub"]
fn pins() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub { cache: cache.path().to_owned(), ..Hub::from_env().unwrap() };
    for name in ["121.ra", "121.tv", "161.tv", "169.tv", "201.tv"].map(|it| format!("densenet{it}_in1k")) {
        let pinned = HubFile::imagenet(&name).unwrap();
        let fetched = hub.fetch(&HubFile { revision: "main".into(), ..pinned.clone() }, &mut |_| ()).unwrap();
        let sha256 = fetched.sha256.unwrap();
        println!("Pin {{ name: {name:?}, commit: Some({:?}), sha256: Some({sha256:?}) }},", fetched.commit);
        assert!(pinned.pinned_sha256().is_none_or(|known| known == sha256), "{name}");
    }
}

/// What [`two_processes_set_by_the_environment_fetch_the_file_once`] starts.
#[test]
#[ignore = "started by another test"]
fn a_process_of_its_own() {
    if std::env::var_os("HUMERUS_TEST_HUB").is_some() {
        match Hub::from_env().unwrap().fetch(&file(), &mut |_| ()) {
            Ok(fetched) => println!("fetched {} {}", fetched.was_cached, fetched.path.display()),
            Err(error) => println!("{error}"),
        }
    }
}

#[test]
fn two_processes_set_by_the_environment_fetch_the_file_once() {
    let bench = Bench::new(Plan { delay: Duration::from_millis(500), ..Plan::large(&content()) });
    let start = |offline: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_process_of_its_own", "--ignored", "--nocapture"]);
        command.env("HF_ENDPOINT", &bench.server.endpoint).env("HF_HUB_CACHE", bench.cache.path());
        command.env("HF_HUB_OFFLINE", offline).env("HF_TOKEN", "secret").env("HUMERUS_TEST_HUB", "");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let output = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let refused = output(start("1"));
    assert!(refused.contains("HF_HUB_OFFLINE allows no request"), "{refused}");
    assert_eq!(bench.server.asked(), []);
    let said: Vec<String> = [start("0"), start("0")].into_iter().map(output).collect();
    assert_eq!(said.iter().filter(|said| said.contains("fetched false /")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| said.contains("fetched true /")).count(), 1, "{said:?}");
    let asked = bench.server.asked();
    assert_eq!(asked.iter().filter(|asked| asked.sent > 0).count(), 1);
    assert!(asked.iter().all(|asked| asked.token.as_deref() == Some("Bearer secret")));
}
