//! The variables that `huggingface_hub` reads, with its meaning of each.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{ENDPOINT, Hub, HubError};

impl Hub {
    /// The hub as the environment sets it for Python's `huggingface_hub`.
    ///
    /// - endpoint: `HF_ENDPOINT`, else `https://huggingface.co`
    /// - cache: `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`, which is else `huggingface` in
    ///   `XDG_CACHE_HOME`, which is else `~/.cache`
    /// - token: `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`, else the content of `HF_TOKEN_PATH`, else of `token` in
    ///   `HF_HOME`
    /// - offline: `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE`, is `1`, `ON`, `YES` or `TRUE`
    ///
    /// # Errors
    /// [`HubError::Name`] if no variable tells the cache folder and there is no home folder.
    pub fn from_env() -> Result<Hub, HubError> {
        Hub::from_lookup(&|name| std::env::var_os(name))
    }

    /// [`Hub::from_env`] with another environment.
    fn from_lookup(lookup: &dyn Fn(&str) -> Option<OsString>) -> Result<Hub, HubError> {
        let text = |name: &str| {
            let value = lookup(name)?.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let folder = |name: &str| Some(expand(lookup(name).filter(|value| !value.is_empty())?, lookup));
        let home = || {
            let caches = || folder("XDG_CACHE_HOME").or_else(|| Some(user_home(lookup)?.join(".cache")));
            folder("HF_HOME").or_else(|| Some(caches()?.join("huggingface")))
        };
        let cache = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(home()?.join("hub"))).ok_or_else(|| HubError::Name {
            what: "HF_HUB_CACHE",
            expected: "a folder for fetched files, as there is no home folder".to_owned(),
            got: String::new(),
        })?;
        let from_file = || {
            let path = folder("HF_TOKEN_PATH").or_else(|| Some(home()?.join("token")))?;
            let token = std::fs::read_to_string(path).ok()?.trim().to_owned();
            (!token.is_empty()).then_some(token)
        };
        let offline = text("HF_HUB_OFFLINE").or_else(|| text("TRANSFORMERS_OFFLINE"));
        Ok(Hub {
            token: text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(from_file),
            offline: offline.is_some_and(|text| ["1", "ON", "YES", "TRUE"].contains(&text.to_uppercase().as_str())),
            ..Hub::new(text("HF_ENDPOINT").as_deref().unwrap_or(ENDPOINT).trim_end_matches('/'), cache)
        })
    }
}

fn user_home(lookup: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    lookup("HOME").filter(|home| !home.is_empty()).map(PathBuf::from).or_else(|| etcetera::home_dir().ok())
}

/// With a leading `~` replaced, as Python does.
fn expand(value: OsString, lookup: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    let path = PathBuf::from(value);
    path.strip_prefix("~").ok().and_then(|rest| Some(user_home(lookup)?.join(rest))).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Hub::from_lookup(&find).unwrap()
    }

    fn cache(variables: &[(&str, &str)]) -> String {
        hub(variables).cache.display().to_string()
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let home = ("HOME", "/home/u");
        assert_eq!(cache(&[home]), "/home/u/.cache/huggingface/hub");
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x")]), "/x/huggingface/hub");
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")]), "/h/hub");
        assert_eq!(cache(&[home, ("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")]), "/old");
        assert_eq!(cache(&[home, ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")]), "/c");
        assert_eq!(cache(&[home, ("HF_HUB_CACHE", "")]), "/home/u/.cache/huggingface/hub");
    }

    #[test]
    fn home_in_a_folder_is_expanded() {
        for (value, expected) in [("~/c", "/home/u/c"), ("~", "/home/u/"), ("~u/c", "~u/c"), ("/a/~", "/a/~")] {
            assert_eq!(cache(&[("HOME", "/home/u"), ("HF_HUB_CACHE", value)]), expected);
        }
    }

    #[test]
    fn endpoint_token_and_offline_are_read() {
        let none = hub(&[("HOME", "/nowhere")]);
        assert_eq!((none.endpoint.as_str(), none.token, none.offline), (ENDPOINT, None, false));
        let set = hub(&[("HOME", "/"), ("HF_ENDPOINT", "http://m/"), ("HF_TOKEN", " t\n"), ("HF_HUB_OFFLINE", "yes")]);
        assert_eq!((set.endpoint.as_str(), set.token.as_deref(), set.offline), ("http://m", Some("t"), true));
        assert!(!format!("{set:?}").contains("\"t\""));
        for (value, offline) in [("1", true), ("On", true), ("true", true), ("0", false), ("no", false), ("2", false)] {
            assert_eq!(hub(&[("HOME", "/"), ("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "from-file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(hub(&[("HF_HOME", home)]).token.as_deref(), Some("from-file"));
        assert_eq!(hub(&[("HF_HOME", home), ("HF_TOKEN", "t")]).token.as_deref(), Some("t"));
    }
}
