use super::*;

fn refusal(bytes: &[u8]) -> String {
    let line = read(bytes).unwrap_err();
    assert!(!line.contains('\n') && line.len() < 300, "{line}");
    line
}

#[test]
fn whatever_a_pickle_calls_is_recorded_and_not_done() {
    for (bytes, module, name) in [
        (&b"cposix\nsystem\n(S'rm -rf /'\ntR."[..], "posix", "system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", "os", "system"),
        (b"(S'ls'\nios\nsystem\n.", "os", "system"),
        (b"(cos\nsystem\nS'ls'\no.", "os", "system"),
        (b"\x80\x02cbuiltins\neval\n)\x81.", "builtins", "eval"),
        (b"\x80\x02cos\nsystem\n)}\x92.", "os", "system"),
        (b"ccopyreg\n_reconstructor\n(cmy.own\nNet\ncbuiltins\nobject\nNtR.", "my.own", "Net"),
    ] {
        let pickle = read(bytes).unwrap();
        let PickleValue::Object { class, .. } = *pickle.get(pickle.root) else {
            panic!("{:?}", pickle.get(pickle.root))
        };
        assert_eq!(pickle.class(class), Some((module.as_bytes(), name.as_bytes())));
    }
    // What a call has made is not called either.
    let pickle = read(b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR(S'ls'\ntR.").unwrap();
    assert!(matches!(pickle.get(pickle.root), PickleValue::Inert));
}

#[test]
fn tensors_of_a_class_of_their_own_are_tensors_and_kinds_of_dictionaries_have_items() {
    let pickle =
        read(b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\ncmy\nOwn\n(K\x00t}tR.");
    let pickle = pickle.unwrap();
    assert!(matches!(pickle.get(pickle.root), PickleValue::Tensor { .. }));
    let pickle = read(b"cmy\nConfig\n)\x81S'a'\nK\x01sS'b'\nK\x02s.").unwrap();
    let PickleValue::Object { items: Some(items), .. } = *pickle.get(pickle.root) else { panic!() };
    assert!(matches!(pickle.get(items), PickleValue::Dict(pairs) if pairs.len() == 2));
}

#[test]
fn a_size_beyond_the_file_is_an_early_end() {
    for bytes in [
        &b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab."[..],
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xffab.",
        b"\x80\x04\x96\x00\x00\x00\x00\x00\x01\x00\x00ab.",
        b"\x80\x02\x8b\xff\xff\xff\x7fab.",
        b"X\xff\xff\xff\xffab.",
        b"\x80\x04\x95\xff\xff",
        b"",
        b"cos",
    ] {
        assert_eq!(refusal(bytes), "the pickle ends early", "{bytes:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    for bytes in [
        &b"."[..],
        b"0.",
        b"t.",
        b"(a.",
        b"h\x05.",
        b"(Nd.",
        b"NR.",
        b"NQ.",
        b"\xff.",
        b"\x82\x01.",
        b"g12x\n.",
        b"Sx\n.",
        b"Pabc\n.",
        b"\x80\x04NN\x93.",
    ] {
        refusal(bytes);
    }
}

#[test]
fn a_million_marks_or_values_end_in_an_error_and_deep_nesting_and_cycles_in_none() {
    refusal(&vec![b'('; 2 << 20]);
    refusal(&vec![b'N'; 2 << 20]);
    let mut recalled = b"Nq\x00".to_vec();
    recalled.extend(b"h\x00".repeat(2 << 20));
    refusal(&recalled);
    let mut deep = vec![b']'];
    deep.extend(b"\x85".repeat(500_000));
    deep.push(b'.');
    drop(read(&deep).unwrap());
    drop(read(b"]q\x00h\x00a.").unwrap());
    drop(read(b"}q\x00X\x01\x00\x00\x00ah\x00s.").unwrap());
}

#[test]
fn what_calls_copy_is_bounded_and_the_pairs_that_python_2_wrote_are_read() {
    let pickle = read(b"ccollections\nOrderedDict\n((lp1\n(lp2\nS'a'\naK\x01aa(lp3\nS'b'\naK\x02aatR.").unwrap();
    assert!(matches!(pickle.get(pickle.root), PickleValue::Dict(pairs) if pairs.len() == 2));
    // A list of half a million pairs, given to a thousand calls of 6 bytes: 4 GB.
    let mut bytes = b"ccollections\nOrderedDict\nq\x000NN\x86q\x010(".to_vec();
    bytes.extend(b"h\x01".repeat(500_000));
    bytes.extend(b"lq\x020");
    bytes.extend(b"h\x00h\x02\x85R".repeat(1000));
    bytes.push(b'.');
    assert!(refusal(&bytes).contains("copies more than 1048576 pairs"));
}

#[test]
fn numbers_are_read_with_their_sign() {
    for (bytes, expected) in [
        (&b"J\xff\xff\xff\xff."[..], -1),
        (b"\x8a\x01\xff.", -1),
        (b"\x8a\x02\xff\x00.", 255),
        (b"\x8a\x00.", 0),
        (b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80.", i64::MIN),
        (b"L-77L\n.", -77),
        (b"I12\n.", 12),
        (b"M\x34\x12.", 0x1234),
    ] {
        let pickle = read(bytes).unwrap();
        assert_eq!(pickle.int(pickle.root), Some(expected), "{bytes:?}");
    }
}
