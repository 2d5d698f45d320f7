//! The two requests: what a file is, and its content, from where an earlier try ended.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LOCATION, RANGE,
};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, Error};

use super::content::{Meta, remove, verify};
use super::{Cause, Fetching, Hub, HubFile, is_plain};

/// Redirects that are followed for one request; the hub needs two.
const REDIRECTS: usize = 10;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// A try that brings this much does not count.
const PROGRESS: u64 = 1 << 20;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(500);

/// Makes requests of one hub.
pub(super) struct Client<'a> {
    hub: &'a Hub,
    endpoint: Uri,
    agent: Agent,
}

/// Tries that are left.
struct Tries {
    left: u32,
    pause: Duration,
}

impl Tries {
    fn new(hub: &Hub) -> Tries {
        Tries { left: hub.retries, pause: hub.pause }
    }

    /// Waits for the next try, if another may help and is left.
    fn again(&mut self, cause: Cause, progress: &mut dyn FnMut(Fetching)) -> Result<(), Cause> {
        if !cause.passes() || self.left == 0 {
            return Err(cause);
        }
        progress(Fetching::Notice(format!("{cause}; trying again")));
        std::thread::sleep(self.pause);
        self.left -= 1;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// HEAD, which need not be followed once the answer tells all.
    What,
    /// GET, from a byte on.
    Content(u64),
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub) -> Result<Client<'a>, Cause> {
        let malformed = || Cause::Endpoint(hub.endpoint.clone());
        let endpoint: Uri = hub.endpoint.parse().map_err(|_| malformed())?;
        let scheme = endpoint.scheme_str().unwrap_or_default();
        if !["http", "https"].contains(&scheme) || host(&endpoint).is_empty() || endpoint.query().is_some() {
            return Err(malformed());
        }
        let read_timeout = Some(hub.read_timeout);
        let mut config = Config::builder()
            .user_agent(concat!("humerus/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_resolve(read_timeout)
            .timeout_connect(read_timeout)
            .timeout_send_request(read_timeout)
            .timeout_recv_response(read_timeout)
            .timeout_per_read(read_timeout)
            .timeout_per_write(read_timeout);
        if ["localhost", "127.0.0.1", "[::1]"].contains(&endpoint.host().unwrap_or_default()) {
            config = config.proxy(None);
        }
        Ok(Client { hub, endpoint, agent: config.build().into() })
    }

    /// Asks what the file is.
    pub(super) fn meta(&self, file: &HubFile, progress: &mut dyn FnMut(Fetching)) -> Result<Meta, Cause> {
        let mut tries = Tries::new(self.hub);
        loop {
            match self.meta_once(file) {
                Ok(meta) => return Ok(meta),
                Err(cause) => tries.again(cause, progress)?,
            }
        }
    }

    fn meta_once(&self, file: &HubFile) -> Result<Meta, Cause> {
        let (url, response, first) = self.ask(file, Ask::What)?;
        let headers = response.headers();
        // A redirect to the content tells of the file; a server of content does not know the commit.
        let tells = |name: &str| text(&first, name).or_else(|| text(headers, name));
        let missing = |name: &str| self.not_a_hub(&url, format!("no {name} of a plain name"));
        let plain = |value: &String| is_plain(value);
        let commit = tells("x-repo-commit").filter(plain).ok_or_else(|| missing("X-Repo-Commit"))?;
        let etag = tells("x-linked-etag").or_else(|| text(headers, ETAG.as_str()));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        let etag = etag.filter(plain).ok_or_else(|| missing("ETag"))?;
        let length = || text(headers, CONTENT_LENGTH.as_str()).filter(|_| response.status().is_success());
        let size = tells("x-linked-size").or_else(length).and_then(|size| size.parse().ok());
        Ok(Meta { commit, etag, size })
    }

    /// Brings `part` to the whole file and verifies it, going on from what is there.
    pub(super) fn download(
        &self,
        file: &HubFile,
        meta: &Meta,
        part: &Path,
        progress: &mut dyn FnMut(Fetching),
    ) -> Result<(), Cause> {
        let mut tries = Tries::new(self.hub);
        loop {
            let had = length(part);
            if let Err(cause) = self.download_once(file, meta, part, progress) {
                if length(part) >= had + PROGRESS {
                    tries = Tries::new(self.hub);
                }
                tries.again(cause, progress)?;
                continue;
            }
            match verify(part, &meta.etag) {
                Err(cause @ Cause::Damaged { .. }) => {
                    remove(part)?;
                    if had == 0 {
                        return Err(cause);
                    }
                    progress(Fetching::Notice(format!("what was kept of {file} is damaged, fetching all of it")));
                }
                verified => return verified,
            }
        }
    }

    fn download_once(
        &self,
        file: &HubFile,
        meta: &Meta,
        part: &Path,
        progress: &mut dyn FnMut(Fetching),
    ) -> Result<(), Cause> {
        let mut have = length(part);
        if have > 0 && meta.size == Some(have) {
            return Ok(());
        }
        let (url, response) = match self.ask(file, Ask::Content(have)) {
            Ok((url, response, _)) => (url, response),
            // What is there does not fit the file; next time nothing is there.
            Err(Cause::Status { status: 416, .. }) if have > 0 => {
                remove(part)?;
                return self.download_once(file, meta, part, progress);
            }
            Err(cause) => return Err(cause),
        };
        match response.status().as_u16() {
            206 if range_start(response.headers()) == Some(have) => {}
            // The whole file, though only the rest of it was asked for.
            200 => have = 0,
            status => return Err(self.not_a_hub(&url, format!("{status}, but not from byte {have} on"))),
        }
        let mut sink = File::options().create(true).append(true).open(part).map_err(Cause::folder(part))?;
        sink.set_len(have).map_err(Cause::folder(part))?;
        let mut received = |bytes| progress(Fetching::Received { file: file.clone(), bytes, of: meta.size });
        received(have);
        let mut told = Instant::now();
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 << 10];
        let cut = loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break None,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => break Some(self.cause(&url, Error::from(error))),
            };
            if let Err(error) = sink.write_all(&buffer[..read]) {
                // A full disk is given back what we took of it.
                remove(part)?;
                return Err(Cause::folder(part)(error));
            }
            have += read as u64;
            if let Some(size) = meta.size.filter(|size| have > *size) {
                remove(part)?;
                return Err(self.not_a_hub(&url, format!("more than the file's {size} bytes")));
            }
            if told.elapsed() >= TELL {
                received(have);
                told = Instant::now();
            }
        };
        match (cut, meta.size) {
            (Some(cause @ Cause::Silent { .. }), _) => Err(cause),
            (_, Some(of)) if have < of => Err(Cause::Cut { got: have, of }),
            (Some(cause), None) => Err(cause),
            _ => {
                received(have);
                Ok(())
            }
        }
    }

    /// Asks for the file, following redirects; gives the last address and answer, and the headers of the first that
    /// names a commit.
    fn ask(&self, file: &HubFile, ask: Ask) -> Result<(Uri, Response<Body>, HeaderMap), Cause> {
        let start = file.url(&self.hub.endpoint);
        let mut url: Uri = start.parse().map_err(|_| Cause::Endpoint(self.hub.endpoint.clone()))?;
        let mut first = HeaderMap::new();
        for _ in 0..=REDIRECTS {
            let mut request = match ask {
                Ask::What => self.agent.head(&url),
                Ask::Content(_) => self.agent.get(&url),
            };
            request = request.header(ACCEPT_ENCODING, "identity");
            if let Ask::Content(from @ 1..) = ask {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let at_home = url.scheme() == self.endpoint.scheme() && url.authority() == self.endpoint.authority();
            if let Some(token) = self.hub.token.as_ref().filter(|_| at_home) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| self.cause(&url, error))?;
            let headers = response.headers();
            if first.is_empty() && headers.contains_key("x-repo-commit") {
                first = headers.clone();
            }
            let told_all = ask == Ask::What && first.contains_key("x-linked-etag");
            if response.status().is_success() || (response.status().is_redirection() && told_all) {
                return Ok((url, response, first));
            }
            if !response.status().is_redirection() {
                return Err(self.refusal(&url, &response));
            }
            let location = text(headers, LOCATION.as_str())
                .ok_or_else(|| self.not_a_hub(&url, "a redirect that does not say where to".to_owned()))?;
            let next = join(&url, &location)
                .ok_or_else(|| self.not_a_hub(&url, format!("a redirect to {location:?}, which is no address")))?;
            if url.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(self.not_a_hub(&url, "a redirect from https to http".to_owned()));
            }
            url = next;
        }
        Err(self.not_a_hub(&url, format!("more than {REDIRECTS} redirects")))
    }

    /// What a failure's status means on the hub.
    fn refusal(&self, url: &Uri, response: &Response<Body>) -> Cause {
        let status = response.status().as_u16();
        let code = text(response.headers(), "x-error-code");
        let gated = code.as_deref() == Some("GatedRepo");
        match (status, code.as_deref()) {
            (404, Some("EntryNotFound")) => Cause::Missing("the repository has no such file"),
            (404, Some("RevisionNotFound")) => Cause::Missing("the repository has no such revision"),
            (404, Some("RepoNotFound")) => Cause::Missing("there is no such repository"),
            (404, _) => Cause::Missing("there is no such repository, revision or file"),
            (401 | 403, _) => {
                let reason = match (&self.hub.token, gated) {
                    (None, true) => "accept the repository's terms on its page and set HF_TOKEN",
                    (None, false) => "there is no such repository, or it is not public: then set HF_TOKEN",
                    (Some(_), true) => "accept the repository's terms on its page with the account of HF_TOKEN",
                    (Some(_), false) => "there is no such repository, or HF_TOKEN does not open it",
                };
                Cause::Refused { status, reason }
            }
            _ => Cause::Status { host: host(url), status },
        }
    }

    fn cause(&self, url: &Uri, error: Error) -> Cause {
        let host = host(url);
        match error {
            Error::Timeout(_) => Cause::Silent { host, read_timeout: self.hub.read_timeout },
            Error::Io(error) if error.kind() == ErrorKind::TimedOut => {
                Cause::Silent { host, read_timeout: self.hub.read_timeout }
            }
            Error::Io(error) => Cause::Unreachable { host, reason: line(error) },
            Error::Protocol(_) | Error::Http(_) | Error::LargeResponseHeader(..) | Error::BadUri(_) => {
                Cause::NotAHub { host, reason: line(error) }
            }
            error => Cause::Unreachable { host, reason: line(error) },
        }
    }

    fn not_a_hub(&self, url: &Uri, reason: String) -> Cause {
        Cause::NotAHub { host: host(url), reason }
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn host(url: &Uri) -> String {
    let authority = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    // Without a user's name and password.
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}

fn line(error: impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

/// The first byte of a partial answer: 10 of `bytes 10-19/20`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// The address that a redirect from `url` leads to.
fn join(url: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    let absolute = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if location.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':')) {
        return None;
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    absolute.split('#').next()?.parse().ok().filter(|next: &Uri| next.host().is_some_and(|host| !host.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_of_every_form_are_joined() {
        let url: Uri = "https://hub:8443/timm/net/resolve/main/f?x=1".parse().unwrap();
        for (location, expected) in [
            ("http://cdn/a?b=c#d", Some("http://cdn/a?b=c")),
            ("//cdn/a", Some("https://cdn/a")),
            ("/api/a?b", Some("https://hub:8443/api/a?b")),
            ("g", Some("https://hub:8443/timm/net/resolve/main/g")),
            ("http://", None),
            ("gopher://x/", None),
            ("mailto:x", None),
            ("http://a b/", None),
        ] {
            assert_eq!(join(&url, location).map(|url| url.to_string()).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        assert_eq!(host(&"http://user:secret@mirror:80/x".parse().unwrap()), "mirror:80");
    }
}
