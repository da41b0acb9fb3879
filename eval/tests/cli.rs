//! The command from outside: exit codes, table, JSON.

#[cfg(test)]
mod cli {
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Output};

    use tempfile::TempDir;

    fn eval(arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sandglass-eval")).args(arguments).output().unwrap()
    }

    fn text(path: &Path) -> &str {
        path.to_str().unwrap()
    }

    fn error(output: &Output) -> String {
        String::from_utf8(output.stderr.clone()).unwrap()
    }

    /// Two images with a cat each, and detections that find the second one.
    fn tree() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["ImageSets/Main", "Annotations", "JPEGImages", "det"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let cat = "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax>\
                   <ymax>10</ymax></bndbox></object></annotation>";
        fs::write(root.path().join("ImageSets/Main/test.txt"), "a\nb\n").unwrap();
        fs::write(root.path().join("Annotations/a.xml"), cat).unwrap();
        fs::write(root.path().join("Annotations/b.xml"), cat).unwrap();
        fs::write(root.path().join("det/cat.txt"), "b 0.9 1 1 10 10\n").unwrap();
        root
    }

    #[test]
    fn detection_files_are_scored() {
        let root = tree();
        let (voc, det) = (text(root.path()), root.path().join("det"));
        let saved = root.path().join("saved");
        let json = root.path().join("result.json");
        let output = eval(&[
            "--voc",
            voc,
            "--detections",
            text(&det),
            "--json",
            text(&json),
            "--save-detections",
            text(&saved),
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(table.contains("cat       54.55     50.00"), "{table}");
        let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        assert_eq!(written["map_all_point"], 0.5);
        assert_eq!(written["per_class"]["cat"]["npos"], 2);
        assert_eq!(fs::read_to_string(saved.join("comp4_det_test_cat.txt")).unwrap(), "b 0.9 1 1 10 10\n");
        // To the standard output, and of the first image alone, whose cat was not found.
        let output = eval(&["--voc", voc, "--detections", text(&det), "--json", "-", "--limit", "1"]);
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &printed["map_11_point"]), (Some(0), &0.0.into()));
        assert!(error(&output).contains("11-point"));
    }

    #[test]
    fn json_lines_are_scored() {
        let root = tree();
        let lines = root.path().join("found.jsonl");
        // Continuous pixels from 0: the same box as in the devkit's file.
        let line = r#"{"source":"x/b.jpg","detections":[{"label":"cat","score":0.9,"box":[0,0,10,10]}]}"#;
        fs::write(&lines, line).unwrap();
        let voc = text(root.path());
        let by_lines = eval(&["--voc", voc, "--detections", text(&lines)]);
        let by_files = eval(&["--voc", voc, "--detections", text(&root.path().join("det"))]);
        assert_eq!(by_lines.status.code(), Some(0), "{}", error(&by_lines));
        assert_eq!(by_lines.stdout, by_files.stdout);
        fs::write(&lines, line.replace("0.9", "\"?\"")).unwrap();
        let bad = eval(&["--voc", voc, "--detections", text(&lines)]);
        assert!(
            bad.status.code() == Some(1) && error(&bad).contains("found.jsonl: line 1"),
            "{}",
            error(&bad)
        );
    }

    #[test]
    fn failures_and_wrong_usage_have_their_codes() {
        let root = tree();
        let (voc, det) = (text(root.path()), root.path().join("det"));
        let output = eval(&["--voc", voc, "--detections", text(&det), "--split", "val"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(error(&output).contains("val.txt"), "{}", error(&output));
        fs::write(det.join("cat.txt"), "c 0.9 1 1 10 10\n").unwrap();
        let output = eval(&["--voc", voc, "--detections", text(&det)]);
        assert_eq!(output.status.code(), Some(1));
        assert!(error(&output).contains("\"c\""), "{}", error(&output));
        for wrong in [&["--voc", voc, "--iou", "2"][..], &["--voc", voc, "--nothing"], &[]] {
            assert_eq!(eval(wrong).status.code(), Some(2), "{wrong:?}");
        }
        let help = eval(&["--help"]);
        assert_eq!(help.status.code(), Some(0));
        assert!(String::from_utf8(help.stdout).unwrap().contains("Examples:"));
    }

    #[test]
    fn our_detector_runs_and_bad_pictures_are_counted() {
        let root = tree();
        // A plain grey picture as text, under the name that the tree gives it, and a broken one.
        let grey = format!("P3 20 20 255\n{}", "128 ".repeat(20 * 20 * 3));
        fs::write(root.path().join("JPEGImages/a.png"), grey).unwrap();
        fs::write(root.path().join("JPEGImages/b.jpg"), b"\xff\xd8\xff no picture").unwrap();
        let json = root.path().join("result.json");
        let arguments = ["--voc", text(root.path()), "--backbone", "mobilenext-0.35", "--threads", "1"];
        let output = eval(&[&arguments[..], &["--json", text(&json)]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", error(&output));
        assert!(error(&output).contains("failed: image b"), "{}", error(&output));
        let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        assert_eq!(written["per_class"].as_object().unwrap().len(), 20);
        assert_eq!(written["failed"].as_array().unwrap().len(), 1, "{written}");
    }
}
