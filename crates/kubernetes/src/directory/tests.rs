//! A directory that is remembered says what one says that is read for the first time.

use proptest::prelude::*;

use super::*;

const SOON: Duration = Duration::from_secs(3600);

fn document(number: u8) -> String {
    let pod = |name: &str, ip: u8| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop}}, status: {{podIP: 10.0.0.{ip}}}}}\n"
        )
    };
    match number {
        0 => "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n".to_owned(),
        1 => pod("a", 1),
        2 => pod("b", 2),
        // The address of another, the name of another.
        3 => pod("c", 1),
        4 => pod("a", 4),
        5 => "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {clusterIP: 10.0.0.1}}\n"
            .to_owned(),
        6 => "{apiVersion: v1, kind: Service, metadata: {name: t, namespace: shop}, spec: {clusterIP: 10.0.0.1}}\n"
            .to_owned(),
        7 => "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: shop}}\n".to_owned(),
        _ => "{apiVersion: v1, kind: Pod".to_owned(),
    }
}

/// As [`Directory::read`] has to be, and without memory.
fn naive(path: &Path) -> Result<(Vec<crate::Object>, Vec<crate::Note>), Vec<Problem>> {
    let resources = crate::read_directory(path)?;
    let problems = validate_set(&resources.objects);
    let objects = resources.objects.into_iter().map(|loaded| loaded.object).collect();
    if problems.is_empty() { Ok((objects, resources.notes)) } else { Err(problems) }
}

fn flat(files: Vec<Arc<Resources>>) -> (Vec<crate::Object>, Vec<crate::Note>) {
    let objects = files.iter().flat_map(|file| &file.objects).map(|loaded| loaded.object.clone()).collect();
    (objects, files.iter().flat_map(|file| file.notes.clone()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_says_what_a_first_reading_says(
        edits in proptest::collection::vec(
            (0u8..4, proptest::option::weighted(0.8, proptest::collection::vec(0u8..9, 0..4)), any::<bool>(), any::<bool>()),
            1..12,
        )
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut remembered = Directory::new(path, Limits::default());
        for (file, content, renamed, settled) in edits {
            let name = path.join(format!("{file}.yaml"));
            match content {
                Some(documents) => {
                    // One document a line, and as many spaces as make every change of a file show in its length.
                    let mut text: String = documents.iter().map(|number| format!("---\n{}", document(*number))).collect();
                    text.push_str(&format!("#{}\n", " ".repeat(documents.iter().fold(1, |sum, one| sum * 9 + usize::from(*one)) % 97)));
                    let written = if renamed { path.join(".new") } else { name.clone() };
                    std::fs::write(&written, text).unwrap();
                    std::fs::rename(&written, &name).unwrap();
                }
                None => drop(std::fs::remove_file(&name)),
            }
            // Where times are to be trusted, a file that was replaced has another place or length or time.
            let now = SystemTime::now() + if settled && renamed { SOON } else { Duration::ZERO };
            let read = remembered.read_at(now, |resources| resources).map(flat);
            prop_assert_eq!(read, naive(path));
        }
    }
}

#[test]
fn only_what_changed_is_understood_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let write = |name: &str, number| std::fs::write(path.join(name), document(number)).unwrap();
    write("a.yaml", 0);
    write("b.yaml", 1);
    let mut remembered = Directory::new(path, Limits::default());
    let mut read = |later| {
        let mut kept = 0;
        let files = remembered.read_at(SystemTime::now() + later, |resources| {
            kept += 1;
            resources
        });
        (files.unwrap(), kept)
    };
    let (first, kept) = read(Duration::ZERO);
    assert_eq!(kept, 2);
    // Too young for their times to be trusted: read, and found the same.
    let (second, kept) = read(SOON);
    assert_eq!(kept, 0);
    assert!(first.iter().zip(&second).all(|(one, other)| Arc::ptr_eq(one, other)));
    write("b.yaml", 5);
    let (third, kept) = read(SOON);
    assert_eq!((kept, third.len()), (1, 2));
    assert!(Arc::ptr_eq(&first[0], &third[0]) && !Arc::ptr_eq(&first[1], &third[1]));
    std::fs::remove_file(path.join("b.yaml")).unwrap();
    assert_eq!(read(SOON).0.len(), 1);
}

#[test]
fn a_change_within_one_tick_of_the_clock_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    let text = document(0);
    std::fs::write(&file, &text).unwrap();
    let mut remembered = Directory::new(directory.path(), Limits::default());
    assert_eq!(flat(remembered.read(|resources| resources).unwrap()).0.len(), 1);
    // The same length in the same file, with the time put back.
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, text.replace("shop", "cart")).unwrap();
    std::fs::File::open(&file).unwrap().set_modified(before).unwrap();
    let (objects, _) = flat(remembered.read(|resources| resources).unwrap());
    assert_eq!(objects[0].metadata().name, "cart");
}
