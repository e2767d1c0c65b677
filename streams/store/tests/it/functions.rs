//! `functions/` has the definition in force of every function and view that a migration redefined.

use std::{collections::BTreeMap, fs, path::Path};

use servers::testing::{Backend, directory, psql};
use store::{Store, StoreArgs};

fn read(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "sql"));
    files
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// A query for name and definition of every function and view.
const DEFINITIONS: &str = r"select proname || E'\t' || replace(pg_get_functiondef(oid), E'\n', chr(1)) from pg_proc
        where pronamespace = 'public'::regnamespace and prokind = 'f'
    union all select viewname || E'\t' || replace(definition, E'\n', chr(1)) from pg_views where schemaname = 'public'
    order by 1";

/// The definitions of each name, as `sql` leaves them.
fn definitions(url: &str, sql: &str) -> BTreeMap<String, Vec<String>> {
    let mut definitions = BTreeMap::<_, Vec<_>>::new();
    for (name, definition) in psql(url, &format!("begin; {sql}; {DEFINITIONS}; rollback"))
        .lines()
        .filter_map(|line| line.split_once('\t'))
    {
        definitions.entry(name.to_owned()).or_default().push(definition.replace('\u{1}', "\n"));
    }
    definitions
}

/// The names that migrations define, each with the number of its definitions.
fn defined() -> BTreeMap<String, usize> {
    let mut defined = BTreeMap::new();
    for line in read("migrations").values().flat_map(|text| text.lines()) {
        let line = line.strip_prefix("create ").map(|line| line.strip_prefix("or replace ").unwrap_or(line));
        let name = line.and_then(|line| line.strip_prefix("function ").or(line.strip_prefix("view ")));
        if let Some(name) = name.and_then(|name| name.split(['(', ' ']).next()) {
            *defined.entry(name.to_owned()).or_default() += 1;
        }
    }
    defined
}

#[tokio::test(flavor = "multi_thread")]
async fn what_migrations_redefined_is_in_one_file_as_it_is_in_force() {
    let directory = directory();
    let postgres = Backend::postgres(&directory.path().join("p")).await;
    let args = StoreArgs { database_url: Some(postgres.url()), database_connections: 2 };
    Store::connect(&args).await.unwrap().migrate().await.unwrap();

    let (files, in_force) = (read("functions"), definitions(&postgres.url(), ""));
    let of_files = definitions(&postgres.url(), &files.values().cloned().collect::<String>());
    for name in files.keys() {
        assert!(in_force.contains_key(name), "functions/{name}.sql: there is no such function or view");
        assert_eq!(of_files[name], in_force[name], "functions/{name}.sql is not what the migrations made");
    }
    assert_eq!(of_files.len(), in_force.len(), "a file defines what it is not named after");
    for (name, count) in defined() {
        assert!(
            in_force.get(&name).is_none_or(|all| count <= all.len()) || files.contains_key(&name),
            "a migration redefines {name}: add functions/{name}.sql with the definition that is in force"
        );
    }
}
