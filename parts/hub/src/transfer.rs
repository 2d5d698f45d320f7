//! The two requests: what a file is, and its content, from where an earlier try ended.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{Response, Uri, header::HeaderMap};
use ureq::{Agent, Body, Error};

use super::error::{Failure, Retry};
use super::{ENDPOINT, Fetching, Hub, HubError, HubFile, is_plain};

/// Redirects that are followed for one request; the hub needs two.
const REDIRECTS: usize = 10;
/// A try that brings this many bytes does not count.
const PROGRESS: u64 = 1 << 20;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(500);

/// What the hub says of a file.
pub(super) struct Description {
    pub(super) commit: String,
    /// Of a large file the SHA-256 of its content.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

/// Makes requests of one hub.
pub(super) struct Client<'a> {
    hub: &'a Hub,
    endpoint: Uri,
    agent: Agent,
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub) -> Result<Client<'a>, HubError> {
        let sound = |url: &Uri| is_web(url) && url.query().is_none();
        let endpoint = hub.endpoint.parse().ok().filter(sound).ok_or_else(|| HubError::Name {
            what: "HF_ENDPOINT",
            expected: format!("an address such as {ENDPOINT}"),
            got: hub.endpoint.clone(),
        })?;
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
    pub(super) fn describe(&self, file: &HubFile) -> Result<Description, Failure> {
        let (url, response, first) = self.ask(file, None)?;
        // A redirect to the content tells of the file; a server of content does not know the commit.
        let tells = |name: &str| text(&first, name).or_else(|| text(response.headers(), name));
        let missing = |name: &str| no_hub(&url, format!("no {name} of a plain name"));
        let commit = tells("x-repo-commit").filter(|it| is_plain(it)).ok_or_else(|| missing("X-Repo-Commit"))?;
        let etag = tells("x-linked-etag").or_else(|| text(response.headers(), "etag")).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let etag = Some(etag).filter(|it| is_plain(it)).ok_or_else(|| missing("ETag"))?;
        let length = || text(response.headers(), "content-length").filter(|_| response.status().is_success());
        let size = tells("x-linked-size").or_else(length).and_then(|size| size.parse().ok());
        Ok(Description { commit, etag, size })
    }

    /// Brings `part` to the whole file, going on from what is there.
    pub(super) fn download(
        &self,
        file: &HubFile,
        size: Option<u64>,
        part: &Path,
        progress: &mut dyn FnMut(Fetching),
    ) -> Result<(), Failure> {
        let had = fs::metadata(part).map_or(0, |metadata| metadata.len());
        if had > 0 && size == Some(had) {
            return Ok(());
        }
        let (url, response, _) = self.ask(file, Some(had))?;
        let start = text(response.headers(), "content-range");
        let start = start.as_deref().and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
        let mut have = match response.status().as_u16() {
            206 if start == Some(had) => had,
            // The whole file, though only the rest of it was asked for.
            200 => 0,
            status => return Err(no_hub(&url, format!("{status}, but not from byte {had} on"))),
        };
        let mut sink = File::options().create(true).append(true).open(part).map_err(Failure::folder(part))?;
        sink.set_len(have).map_err(Failure::folder(part))?;
        let mut received = |bytes| progress(Fetching::Received { file: file.clone(), bytes, of: size });
        received(have);
        let mut told = Instant::now();
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 << 10];
        let ended = loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break None,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => break Some(Error::from(error)),
            };
            sink.write_all(&buffer[..read]).map_err(Failure::folder(part))?;
            have += read as u64;
            if let Some(size) = size.filter(|size| have > *size) {
                return Err(no_hub(&url, format!("more than the file's {size} bytes")));
            }
            if told.elapsed() >= TELL {
                received(have);
                told = Instant::now();
            }
        };
        let failure = match (ended, size) {
            (Some(error), _) if timed_out(&error) => self.failure(&url, error),
            (_, Some(of)) if have < of => {
                Failure::passing(format!("the connection ended after {have} of {of} bytes, which are kept"))
            }
            (Some(error), None) => self.failure(&url, error),
            _ => {
                received(have);
                return Ok(());
            }
        };
        let retry = if have >= had + PROGRESS { Retry::Free } else { failure.retry };
        Err(Failure { retry, ..failure })
    }

    /// Asks for what the file is, or for its content from a byte on, following redirects; gives the last address and
    /// answer, and the headers of the first that names a commit.
    fn ask(&self, file: &HubFile, from: Option<u64>) -> Result<(Uri, Response<Body>, HeaderMap), Failure> {
        let address = file.url(&self.hub.endpoint);
        let mut url: Uri = address.parse().map_err(|_| Failure::lasting(format!("no address: {address}")))?;
        let mut first = HeaderMap::new();
        for _ in 0..=REDIRECTS {
            let request = if from.is_none() { self.agent.head(&url) } else { self.agent.get(&url) };
            let mut request = request.header("accept-encoding", "identity");
            if let Some(from @ 1..) = from {
                request = request.header("range", format!("bytes={from}-"));
            }
            let at_home = url.scheme() == self.endpoint.scheme() && url.authority() == self.endpoint.authority();
            if let Some(token) = self.hub.token.as_ref().filter(|_| at_home) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| self.failure(&url, error))?;
            if first.is_empty() && response.headers().contains_key("x-repo-commit") {
                first = response.headers().clone();
            }
            let (status, told_all) = (response.status(), from.is_none() && first.contains_key("x-linked-etag"));
            if status.is_success() || (status.is_redirection() && told_all) {
                return Ok((url, response, first));
            }
            if !status.is_redirection() {
                return Err(self.refusal(&url, &response));
            }
            let location = text(response.headers(), "location").unwrap_or_default();
            url = redirected(&url, &location).ok_or_else(|| no_hub(&url, format!("a redirect to {location:?}")))?;
        }
        Err(no_hub(&url, format!("more than {REDIRECTS} redirects")))
    }

    /// What a failure's status means on the hub.
    fn refusal(&self, url: &Uri, response: &Response<Body>) -> Failure {
        let status = response.status().as_u16();
        let code = text(response.headers(), "x-error-code");
        let gated = code.as_deref() == Some("GatedRepo");
        let reason = match (status, code.as_deref(), &self.hub.token) {
            (404, Some("EntryNotFound"), _) => "the repository has no such file",
            (404, Some("RevisionNotFound"), _) => "the repository has no such revision",
            (404, Some("RepoNotFound"), _) => "there is no such repository",
            (404, ..) => "there is no such repository, revision or file",
            (401 | 403, _, None) if gated => "accept the repository's terms on its page and set HF_TOKEN",
            (401 | 403, _, None) => "there is no such repository, or it is not public: then set HF_TOKEN",
            (401 | 403, ..) if gated => "accept the repository's terms on its page with the account of HF_TOKEN",
            (401 | 403, ..) => "there is no such repository, or HF_TOKEN does not open it",
            _ => {
                let retry = match status {
                    408 | 429 | 500.. => Retry::Counted,
                    // The part does not fit the file.
                    416 => Retry::Anew,
                    _ => Retry::Never,
                };
                return Failure { retry, ..Failure::lasting(format!("{} answered {status}", host(url))) };
            }
        };
        Failure::lasting(format!("{status}: {reason}"))
    }

    fn failure(&self, url: &Uri, error: Error) -> Failure {
        if timed_out(&error) {
            let waited = self.hub.read_timeout.as_secs_f32();
            return Failure::passing(format!("no answer from {} for {waited} s", host(url)));
        }
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        match error {
            Error::Protocol(_) | Error::Http(_) | Error::LargeResponseHeader(..) | Error::BadUri(_) => {
                no_hub(url, reason)
            }
            _ => Failure::passing(format!("no connection to {}: {reason}", host(url))),
        }
    }
}

fn timed_out(error: &Error) -> bool {
    match error {
        Error::Timeout(_) => true,
        Error::Io(error) => error.kind() == ErrorKind::TimedOut,
        _ => false,
    }
}

fn no_hub(url: &Uri, reason: String) -> Failure {
    Failure::lasting(format!("{} does not answer like a hub: {reason}", host(url)))
}

/// Host and port, without a user's name and password.
fn host(url: &Uri) -> &str {
    let authority = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

fn is_web(url: &Uri) -> bool {
    ["http", "https"].contains(&url.scheme_str().unwrap_or_default()) && !host(url).is_empty()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

/// The address that a redirect from `url` leads to: a path on the same server, or another address, but not from https
/// to http.
fn redirected(url: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    let whole = match location {
        path if path.starts_with('/') && !path.starts_with("//") => format!("{scheme}://{authority}{path}"),
        other => other.to_owned(),
    };
    whole.parse().ok().filter(|next: &Uri| is_web(next) && (scheme == "http" || next.scheme_str() == Some("https")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_a_path_or_an_address_but_not_from_https_to_http() {
        let url: Uri = "https://hub:8443/timm/net/resolve/main/f?x=1".parse().unwrap();
        for (location, expected) in [
            ("https://cdn/a?b=c", Some("https://cdn/a?b=c")),
            ("/api/a?b", Some("https://hub:8443/api/a?b")),
            ("http://cdn/a", None),
            ("https://", None),
            ("mailto:x", None),
            ("", None),
        ] {
            assert_eq!(redirected(&url, location).map(|url| url.to_string()).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        assert_eq!(host(&"http://user:secret@mirror:80/x".parse().unwrap()), "mirror:80");
    }
}
