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

    #[test]
    fn everything_can_be_written_at_once() {
        let root = tree();
        let path = |name: &str| root.path().join(name);
        let (voc, det) = (text(root.path()), path("det"));
        // A picture, so that the report shows one.
        let picture = image::RgbImage::from_pixel(40, 30, image::Rgb([90, 120, 60]));
        picture.save(path("JPEGImages/a.jpg")).unwrap();
        let (json, html, csv) = (path("r.json"), path("r.html"), path("r.csv"));
        let output = eval(&[
            "--voc",
            voc,
            "--detections",
            text(&det),
            "--json",
            text(&json),
            "--html",
            text(&html),
            "--csv",
            text(&csv),
            "--coco",
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        assert!(String::from_utf8(output.stdout).unwrap().contains("AP50"));
        let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
        assert_eq!(written["analysis"]["thresholds"]["cat"]["threshold"], 0.9);
        assert_eq!(written["analysis"]["errors"]["errors"]["missed"]["count"], 1);
        assert!(written["coco"]["ap_50"].is_f64() && written["outcomes"]["images"][1] == "b");
        let page = fs::read_to_string(&html).unwrap();
        assert!(page.contains("<svg") && page.contains("data:image/jpeg;base64,"));
        // It needs nothing from elsewhere: the only addresses are names of XML, never links.
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http") && !outside.contains("<script"));
        let table = fs::read_to_string(&csv).unwrap();
        let first: Vec<&str> = table.lines().take(2).collect();
        assert_eq!(first[0], "class,ap_11_point,ap_all_point,npos,tp,fp,ignored");
        assert!(
            first[1].starts_with("cat,0.54545454545454") && first[1].ends_with(",0.5,2,1,0,0"),
            "{}",
            first[1]
        );

        // The result compared with itself.
        let output = eval(&["--compare", text(&json), text(&json)]);
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        assert!(String::from_utf8(output.stdout).unwrap().contains("too small to tell"));
        assert_eq!(eval(&["--compare", text(&json), text(&csv)]).status.code(), Some(1));
    }

    #[test]
    fn parts_give_the_result_of_one_run() {
        let root = tree();
        let path = |name: &str| root.path().join(name);
        let (voc, det) = (text(root.path()), path("det"));
        let (whole, merged) = (path("whole.json"), path("merged.json"));
        let parts = [path("p1.json"), path("p2.json")];
        assert!(eval(&["--voc", voc, "--detections", text(&det), "--json", text(&whole)]).status.success());
        for (part, file) in ["1/2", "2/2"].iter().zip(&parts) {
            let output = eval(&[
                "--voc",
                voc,
                "--detections",
                text(&det),
                "--shard",
                part,
                "--shard-file",
                text(file),
            ]);
            assert!(output.status.success(), "{}", error(&output));
        }
        let output = eval(&["merge", text(&parts[1]), text(&parts[0]), "--json", text(&merged)]);
        assert!(output.status.success(), "{}", error(&output));
        assert_eq!(fs::read(&whole).unwrap(), fs::read(&merged).unwrap());
        let output = eval(&["merge", text(&parts[1])]);
        assert_eq!(output.status.code(), Some(1));
        assert!(error(&output).contains("there are 1 of 2 parts"), "{}", error(&output));
        assert!(error(&eval(&["merge", text(&whole)])).contains("no part of an evaluation"));
    }

    #[test]
    fn a_folder_of_ones_own_and_cocos_files() {
        let root = tree();
        let own = root.path().join("own");
        fs::create_dir(&own).unwrap();
        for id in ["a", "b"] {
            fs::copy(root.path().join(format!("Annotations/{id}.xml")), own.join(format!("{id}.xml")))
                .unwrap();
        }
        let det = root.path().join("det");
        let output = eval(&["--voc", text(&own), "--detections", text(&det)]);
        assert!(String::from_utf8(output.stdout).unwrap().contains("cat       54.55     50.00"));

        let (truth, found) = (root.path().join("gt.json"), root.path().join("dt.json"));
        let gt = r#"{"images": [{"id": 7, "file_name": "b.jpg"}], "categories": [{"id": 3, "name": "cat"}],
            "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 10, 10], "iscrowd": 0}]}"#;
        fs::write(&truth, gt).unwrap();
        let result = |image: i64| {
            format!(r#"[{{"image_id": {image}, "category_id": 3, "bbox": [0, 0, 10, 10], "score": 0.5}}]"#)
        };
        fs::write(&found, result(7)).unwrap();
        let run = || eval(&["--annotations", text(&truth), "--detections", text(&found), "--coco"]);
        let table = String::from_utf8(run().stdout).unwrap();
        assert!(
            table.contains("cat      100.00    100.00") && table.contains("AP75       100.00"),
            "{table}"
        );
        fs::write(&found, result(8)).unwrap();
        assert!(error(&run()).contains("result 1: image 8 is not in"), "{}", error(&run()));
        // COCO's results say nothing about VOC's images.
        let output = eval(&["--voc", text(root.path()), "--detections", text(&found)]);
        assert!(error(&output).contains("COCO results"), "{}", error(&output));
    }

    #[test]
    fn what_is_odd_is_an_error_or_counted() {
        let root = tree();
        let (voc, det) = (text(root.path()), root.path().join("det"));
        fs::write(det.join("dog.txt"), "b 0.9 1 1 10 10\n").unwrap();
        let run = |more: &[&str]| eval(&[&["--voc", voc, "--detections", text(&det)], more].concat());
        assert_eq!(run(&[]).status.code(), Some(0));
        let strict = run(&["--strict"]);
        assert_eq!(strict.status.code(), Some(1));
        assert!(error(&strict).contains("dog"), "{}", error(&strict));
        fs::write(det.join("dog.txt"), "b nan 1 1 10 10\n").unwrap();
        assert_eq!(run(&[]).status.code(), Some(1));
        let lenient = run(&["--lenient"]);
        assert_eq!(lenient.status.code(), Some(0), "{}", error(&lenient));
        assert!(String::from_utf8(lenient.stdout).unwrap().contains("left out: 1"));
    }

    #[test]
    fn an_interrupted_run_goes_on_and_gives_the_same() {
        let root = tree();
        let path = |name: &str| root.path().join(name);
        for id in ["a", "b"] {
            let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 3, y as u8 * 5, 90]));
            picture.save(path(&format!("JPEGImages/{id}.png"))).unwrap();
        }
        let voc = text(root.path());
        let run = |folder: &Path, json: &Path| {
            let output = eval(&[
                "--voc",
                voc,
                "--backbone",
                "mobilenet-v1-0.25",
                "--threads",
                "1",
                "--save-detections",
                text(folder),
                "--json",
                text(json),
            ]);
            assert_eq!(output.status.code(), Some(0), "{}", error(&output));
            error(&output)
        };
        let (whole, again) = (path("whole"), path("again"));
        run(&whole, &path("whole.json"));
        // A run that was stopped after the first picture, in the middle of the second's line.
        let found = fs::read_to_string(whole.join("comp4_det_test_cat.txt")).unwrap();
        fs::create_dir(&again).unwrap();
        run(&again, &path("x.json"));
        let (journal, files) = (again.join("unfinished.jsonl"), fs::read_dir(&again).unwrap().count());
        assert!(!journal.exists() && files > 0);
        let header = r#"{"detector":"mobilenet-v1-0.25, weights those of version 0.1.0","images":2}"#;
        let first = r#"{"image":"a","found":[["cat",0.75,[1.0,1.0,10.0,10.0]]]}"#;
        fs::write(&journal, format!("{header}\n{first}\n{{\"image\":\"b\",\"fou")).unwrap();
        let said = run(&again, &path("again.json"));
        assert!(said.contains("going on after 1 pictures"), "{said}");
        let resumed = fs::read_to_string(again.join("comp4_det_test_cat.txt")).unwrap();
        // The picture that was known is as it was written, the other one as it is found anew.
        assert!(resumed.starts_with("a 0.75 1 1 10 10\n"), "{resumed}");
        let of_b =
            |text: &str| text.lines().filter(|line| line.starts_with("b ")).collect::<Vec<_>>().join("\n");
        assert_eq!(of_b(&resumed), of_b(&found));
        assert!(!journal.exists());
        // Of another detector: nothing is thrown away.
        fs::write(&journal, "{\"detector\":\"other\",\"images\":2}\n").unwrap();
        let output =
            eval(&["--voc", voc, "--backbone", "mobilenet-v1-0.25", "--save-detections", text(&again)]);
        assert_eq!(output.status.code(), Some(1));
        assert!(error(&output).contains("unfinished run of another detector") && journal.exists());
    }
}
