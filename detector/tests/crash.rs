//! What a panic leaves. Hooks are of the whole process: a test program with one test.

#[cfg(test)]
mod crash {
    use sandglass_detector::program::crash::{happened, install, note_in, take};

    #[test]
    fn a_panic_leaves_a_note_that_is_offered_once() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        install("sandglass-test", "0.0", data.clone());
        assert_eq!(take(&data), None);
        let panic = |words: &'static str| {
            let thread = std::thread::Builder::new().name("worker".into());
            thread.spawn(move || std::panic::panic_any(words)).unwrap().join().unwrap_err();
        };
        assert!(!happened());
        panic("no frame in /home/jo/video.mp4 at 3");
        panic("what follows from the first");
        drop(std::panic::take_hook());
        assert!(happened() && note_in(&data).exists());

        let offered = take(&data).unwrap();
        let note = std::fs::read_to_string(&offered).unwrap();
        assert!(note.contains("sandglass-test 0.0") && note.contains("thread: worker"), "{note}");
        assert!(note.contains("words: no frame in (a path)\n") && note.contains("crash.rs:"), "{note}");
        for private in ["/home/", &*std::env::temp_dir().to_string_lossy(), env!("CARGO_MANIFEST_DIR")] {
            assert!(!note.contains(private), "{private}: {note}");
        }
        assert!(note.lines().count() > 8, "there are calls: {note}");
        assert_eq!(take(&data), None);
    }
}
