//! A film as a DICOM file: Digital X-Ray Image Storage, for presentation (DICOM PS3.3 A.26), 12 bits in 16.
//!
//! Every file says that it is synthetic: in the patient's name and number, as a phantom image (`QualityControlImage`),
//! as made for research (`ContentQualification`) and in its comments. Identifiers are UUIDs in the root 2.25 (PS3.5
//! B.2), derived from the settings, the seed and the film's number, so the same set has the same identifiers.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::draw::{Draw, Purpose};
use super::{PhantomConfig, PhantomStudy, PhantomView, Photometric, Projection};
use crate::{Error, Result};

/// The largest 12-bit grey.
const WHITE: u16 = 4095;

/// The identifiers of a study's files and how they store grey.
#[derive(Debug)]
pub(super) struct StudyIdentifiers {
    seed: u64,
    study: String,
    series: String,
    instances: Vec<String>,
    photometric: Photometric,
}

impl StudyIdentifiers {
    pub fn new(config: &PhantomConfig, study: &PhantomStudy) -> StudyIdentifiers {
        let mut draw = Draw::new(fingerprint(config), Purpose::Identity, study.number as u64);
        let photometric = if draw.chance(0.5) { Photometric::Monochrome1 } else { Photometric::Monochrome2 };
        let mut uid = || uid(u128::from(draw.bits()) << 64 | u128::from(draw.bits()));
        StudyIdentifiers {
            seed: config.seed,
            study: uid(),
            series: uid(),
            instances: study.views.iter().map(|_| uid()).collect(),
            photometric: config.photometric.unwrap_or(photometric),
        }
    }
}

/// FNV-1a over everything that a film depends on: not the number of studies, nor who is held out.
fn fingerprint(config: &PhantomConfig) -> u64 {
    let drawn = PhantomConfig { studies: 1, valid_fraction: 0.0, ..config.clone() };
    let text = format!("{} {drawn:?}", super::DRAWING_VERSION);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A UUID of version 8, whose bits are the maker's choice (RFC 9562), as an identifier.
fn uid(bits: u128) -> String {
    let version = bits & !(0xf << 76) | 0x8 << 76;
    let variant = version & !(0x3 << 62) | 0x2 << 62;
    format!("2.25.{variant}")
}

/// The `ViewPosition` of PS3.3 C.8.11.5.
fn view_position(projection: Projection, left: bool) -> &'static str {
    match (projection, left) {
        (Projection::Ap, _) => "AP",
        (Projection::Lateral, true) => "LL",
        (Projection::Lateral, false) => "RL",
        (Projection::Oblique, true) => "LLO",
        (Projection::Oblique, false) => "RLO",
    }
}

/// Writes view `index` of `study` to `path`.
///
/// # Errors
/// [`Error::Io`] if the disk refuses.
pub(super) fn write(path: &Path, study: &PhantomStudy, index: usize, identity: &StudyIdentifiers) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Error::io(path)(std::io::Error::other(error.to_string()));
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION)
        .media_storage_sop_instance_uid(identity.instances[index].as_str())
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file = object(study, index, identity).with_meta(meta).map_err(|error| failed(&error))?;
    let mut writer = BufWriter::new(File::create(path).map_err(Error::io(path))?);
    file.write_all(&mut writer).map_err(|error| failed(&error))?;
    writer.flush().map_err(Error::io(path))
}

fn object(study: &PhantomStudy, index: usize, identity: &StudyIdentifiers) -> InMemDicomObject {
    let view = &study.views[index];
    let side = if study.left { "L" } else { "R" };
    let mut object = InMemDicomObject::new_empty();
    let mut text = |tag: Tag, vr: VR, value: &str| {
        object.put_str(tag, vr, value);
    };
    text(tags::SOP_CLASS_UID, VR::UI, uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION);
    text(tags::SOP_INSTANCE_UID, VR::UI, &identity.instances[index]);
    text(tags::STUDY_INSTANCE_UID, VR::UI, &identity.study);
    text(tags::SERIES_INSTANCE_UID, VR::UI, &identity.series);
    text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY");
    for tag in [tags::STUDY_DATE, tags::CONTENT_DATE, tags::PATIENT_BIRTH_DATE] {
        text(tag, VR::DA, "");
    }
    text(tags::STUDY_TIME, VR::TM, "");
    text(tags::CONTENT_TIME, VR::TM, "");
    let accession = format!("SYN{:05}-{:05}", identity.seed % 100_000, study.number);
    text(tags::ACCESSION_NUMBER, VR::SH, &accession);
    text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, "");
    text(tags::MODALITY, VR::CS, "DX");
    text(tags::PRESENTATION_INTENT_TYPE, VR::CS, "FOR PRESENTATION");
    text(tags::MANUFACTURER, VR::LO, "humerus (simulation)");
    text(tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION"));
    text(tags::STUDY_DESCRIPTION, VR::LO, "SYNTHETIC humerus");
    text(tags::PATIENT_NAME, VR::PN, &format!("SYNTHETIC^{:05}", study.patient));
    text(tags::PATIENT_ID, VR::LO, &format!("SYNTHETIC-{}-{:05}", identity.seed, study.patient));
    text(tags::PATIENT_SEX, VR::CS, "O");
    text(tags::PATIENT_AGE, VR::AS, &format!("{:03}Y", study.age));
    text(tags::BODY_PART_EXAMINED, VR::CS, "HUMERUS");
    text(tags::VIEW_POSITION, VR::CS, view_position(view.projection, study.left));
    text(tags::IMAGE_LATERALITY, VR::CS, side);
    text(tags::PATIENT_ORIENTATION, VR::CS, "");
    text(tags::STUDY_ID, VR::SH, &study.visit.to_string());
    text(tags::SERIES_NUMBER, VR::IS, "1");
    text(tags::INSTANCE_NUMBER, VR::IS, &(index + 1).to_string());
    text(tags::IMAGE_COMMENTS, VR::LT, "SYNTHETIC: a simulated radiograph, no patient was filmed; not for diagnosis");
    text(tags::CONTENT_QUALIFICATION, VR::CS, "RESEARCH");
    text(tags::QUALITY_CONTROL_IMAGE, VR::CS, "YES");
    text(tags::BURNED_IN_ANNOTATION, VR::CS, "NO");
    let spacing = format!("{:.6}", view.mm_per_pixel);
    text(tags::IMAGER_PIXEL_SPACING, VR::DS, &format!("{spacing}\\{spacing}"));
    pixels(&mut object, view, identity.photometric);
    object
}

/// The film and how its numbers become grey: the identity, then the whole range of 12 bits as the window.
fn pixels(object: &mut InMemDicomObject, view: &PhantomView, photometric: Photometric) {
    // Which way grey goes with the beam: as stored, bright bone is where few quanta came.
    let (name, shape, sign) = match photometric {
        Photometric::Monochrome1 => ("MONOCHROME1", "INVERSE", 1_i16),
        Photometric::Monochrome2 => ("MONOCHROME2", "IDENTITY", -1),
    };
    for (tag, vr, value) in [
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, name),
        (tags::PRESENTATION_LUT_SHAPE, VR::CS, shape),
        (tags::PIXEL_INTENSITY_RELATIONSHIP, VR::CS, "LOG"),
        (tags::RESCALE_INTERCEPT, VR::DS, "0"),
        (tags::RESCALE_SLOPE, VR::DS, "1"),
        (tags::RESCALE_TYPE, VR::LO, "US"),
        (tags::WINDOW_CENTER, VR::DS, "2048"),
        (tags::WINDOW_WIDTH, VR::DS, "4096"),
        (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
    ] {
        object.put_str(tag, vr, value);
    }
    let mut number = |tag: Tag, vr: VR, value: PrimitiveValue| {
        object.put(dicom_core::DataElement::new(tag, vr, value));
    };
    number(tags::PIXEL_INTENSITY_RELATIONSHIP_SIGN, VR::SS, PrimitiveValue::from(sign));
    for (tag, value) in [
        (tags::SAMPLES_PER_PIXEL, 1_u16),
        (tags::ROWS, view.stored.height() as u16),
        (tags::COLUMNS, view.stored.width() as u16),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::HIGH_BIT, 11),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        number(tag, VR::US, PrimitiveValue::from(value));
    }
    let stored: Vec<u16> = match photometric {
        Photometric::Monochrome1 => view.stored.iter().map(|&value| WHITE - value).collect(),
        Photometric::Monochrome2 => view.stored.to_vec(),
    };
    number(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(stored.into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_uuids_in_the_root_for_uuids() {
        // RFC 9562's nil and max UUID with version 8 and the standard's variant put in.
        assert_eq!(uid(0), format!("2.25.{}", 0x0000_0000_0000_8000_8000_0000_0000_0000_u128));
        assert_eq!(uid(u128::MAX), format!("2.25.{}", 0xffff_ffff_ffff_8fff_bfff_ffff_ffff_ffff_u128));
        assert!(uid(u128::MAX).len() <= 64);
    }

    #[test]
    fn identifiers_depend_on_what_is_drawn_and_on_nothing_else() {
        let config = PhantomConfig { longest_side: 64, ..PhantomConfig::default() };
        let of =
            |config: &PhantomConfig| format!("{:?}", StudyIdentifiers::new(config, &super::super::study(config, 3)));
        assert_eq!(of(&config), of(&PhantomConfig { studies: 7, valid_fraction: 0.5, ..config.clone() }));
        assert_ne!(of(&config), of(&PhantomConfig { seed: 1, ..config.clone() }));
        assert_ne!(of(&config), of(&PhantomConfig { longest_side: 65, ..config.clone() }));
    }
}
