//! What can be scored: paths, studies, an index, and any number of these.

use std::path::{Path, PathBuf};

use crate::dataset::Index;
use crate::error::{Error, Result};
use studies::{Split, Study, View};

/// What [`Model::score`](crate::model::Model::score) takes.
///
/// - a **path** to a film or a folder. A folder that is laid out like a data set keeps its studies and labels. The
///   images of any other folder, one whose labels cannot be read among them, and films named one by one, form a study
///   for each folder named `study…` and stand alone elsewhere.
/// - a **study** with all its views, or one **view** by itself.
/// - an **index**, of which the held-out split is scored; `index.split(Split::Tune)` is another one.
/// - **several** of any of these, as a vector, a slice or an array.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be scored",
    note = "`score` takes a path, a view, a study, an index, or several of one kind, by value or by reference"
)]
pub trait Scorable {
    /// Adds it to the paths and the studies that are to be scored.
    ///
    /// # Errors
    /// [`Error::Split`] for an index that holds nothing out.
    fn add_to<'a>(&'a self, paths: &mut Vec<&'a Path>, studies: &mut Vec<&'a Study>) -> Result<()>;
}

macro_rules! paths {
    ($($path:ty)*) => {$(
        impl Scorable for $path {
            fn add_to<'a>(&'a self, paths: &mut Vec<&'a Path>, _: &mut Vec<&'a Study>) -> Result<()> {
                paths.push(self.as_ref());
                Ok(())
            }
        }
    )*};
}

paths! { Path PathBuf str String std::ffi::OsStr std::ffi::OsString }

impl Scorable for View {
    fn add_to<'a>(&'a self, paths: &mut Vec<&'a Path>, studies: &mut Vec<&'a Study>) -> Result<()> {
        self.path.add_to(paths, studies)
    }
}

impl Scorable for Study {
    fn add_to<'a>(&'a self, _: &mut Vec<&'a Path>, studies: &mut Vec<&'a Study>) -> Result<()> {
        studies.push(self);
        Ok(())
    }
}

impl Scorable for Index {
    fn add_to<'a>(&'a self, _: &mut Vec<&'a Path>, studies: &mut Vec<&'a Study>) -> Result<()> {
        let held_out = self.split(Split::Valid);
        if held_out.is_empty() {
            let root = self.root.display();
            return Err(Error::Split(format!("no held-out study in {root}; `index.split(…)` names another split")));
        }
        studies.extend(held_out);
        Ok(())
    }
}

impl<T: Scorable + ?Sized> Scorable for &T {
    fn add_to<'a>(&'a self, paths: &mut Vec<&'a Path>, studies: &mut Vec<&'a Study>) -> Result<()> {
        (**self).add_to(paths, studies)
    }
}

impl<T: Scorable> Scorable for [T] {
    fn add_to<'a>(&'a self, paths: &mut Vec<&'a Path>, studies: &mut Vec<&'a Study>) -> Result<()> {
        self.iter().try_for_each(|one| one.add_to(paths, studies))
    }
}

impl<T: Scorable> Scorable for Vec<T> {
    fn add_to<'a>(&'a self, paths: &mut Vec<&'a Path>, studies: &mut Vec<&'a Study>) -> Result<()> {
        self.as_slice().add_to(paths, studies)
    }
}

impl<T: Scorable, const N: usize> Scorable for [T; N] {
    fn add_to<'a>(&'a self, paths: &mut Vec<&'a Path>, studies: &mut Vec<&'a Study>) -> Result<()> {
        self.as_slice().add_to(paths, studies)
    }
}
