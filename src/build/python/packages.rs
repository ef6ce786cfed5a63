//! The packages that an application requires, installed for the guest's Python.
//!
//! Only wheels are installed: a source distribution runs its author's code on this machine. A wheel with native modules is replaced by its
//! pure variant where there is one; else its native modules are left out, which is right for packages that carry them as an accelerator,
//! and is told when an import fails for the lack of one.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

use super::{
    super::{
        command::{last_lines, output, text, unreachable_index},
        stage::copy_tree,
    },
    BuildFault, Progress, hex,
    tools::{self, GUEST_PYTHON, Tools},
    trial::Trial,
};

/// pip with the guest's markers.
const PIP_FOR_GUEST: &str = include_str!("pip_for_guest.py");
/// What `pip_for_guest.py` says before the name of a source that it does not install.
const REFUSED: &str = "refused by wasgi: ";
/// Changes whenever the content of the cache must be made anew.
const LAYOUT: &str = "2";

/// Whether source distributions may be built on this machine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sdist {
    /// Wheels only.
    #[default]
    Refused,
    /// `--allow-sdist`: a stranger's code may run here.
    Allowed,
}

/// A native module that was left out.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Native {
    /// The package that has it: `MarkupSafe 3.0.3`.
    pub package: String,
    /// Its name: `markupsafe._speedups`.
    pub module: String,
    /// Its file.
    pub file: String,
}

/// What an application is built with.
#[derive(Clone, Debug)]
pub struct Packages {
    /// The installed packages.
    pub site: PathBuf,
    /// What of the packages was left out.
    pub natives: Vec<Native>,
}

/// What an application requires.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// Where pip reads it.
    list: List,
    /// Every file that it is read from, and its content.
    pub(super) files: BTreeMap<PathBuf, String>,
}

/// Where pip reads what is required.
#[derive(Debug, Default)]
enum List {
    /// Nothing is required.
    #[default]
    None,
    /// The application's own `requirements.txt`.
    File(PathBuf),
    /// What was found in `pyproject.toml`.
    Text(String),
}

impl Requirements {
    /// Reads `requirements.txt` with what it includes, or else `pyproject.toml`.
    pub(super) fn of(folder: &Path) -> Result<Self, BuildFault> {
        let (list, project) = (folder.join("requirements.txt"), folder.join("pyproject.toml"));
        let mut files = BTreeMap::new();
        if list.is_file() {
            include(&list, &mut files)?;
            return Ok(Self { list: List::File(list), files });
        }
        if project.is_file() {
            let text = fs::read_to_string(&project).map_err(BuildFault::io(&project))?;
            let text = dependencies(&project, &text)?;
            files.insert(project, text.clone());
            return Ok(Self { list: if text.is_empty() { List::None } else { List::Text(text) }, files });
        }
        Ok(Self::default())
    }
}

/// A requirements file, and those that it includes with `-r` and `-c`, which lie beside it.
fn include(file: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<(), BuildFault> {
    let file = file.canonicalize().map_err(BuildFault::io(file))?;
    if files.contains_key(&file) {
        return Ok(());
    }
    let text = fs::read_to_string(&file).map_err(BuildFault::io(&file))?;
    // pip would put the builder's own variables there, also into the address of a stranger's index.
    if let Some(line) = text.lines().find(|line| without_comment(line).contains("${")) {
        let what = format!("{} asks for a variable of this machine: `{}`", file.display(), line.trim());
        return Err(BuildFault::new(what, "", "write its value, or set PIP_INDEX_URL or pip's own configuration"));
    }
    files.insert(file.clone(), text.clone());
    for line in text.lines() {
        let line = without_comment(line);
        if let Some(included) = option(line, &["--requirement", "--constraint", "-r", "-c"]).filter(|included| !included.contains("://")) {
            include(&file.with_file_name(included), files)?;
        }
    }
    Ok(())
}

fn without_comment(line: &str) -> &str {
    let line = if line.trim_start().starts_with('#') { "" } else { line };
    line.split_once(" #").map_or(line, |(line, _)| line).trim()
}

/// The value of one of these options.
fn option<'a>(line: &'a str, names: &[&str]) -> Option<&'a str> {
    let rest = names.iter().find_map(|name| line.strip_prefix(name))?;
    Some(rest.trim_start_matches(['=', ' ', '\t'])).filter(|value| !value.is_empty())
}

/// `[project] dependencies` of a `pyproject.toml`, as a requirements file.
fn dependencies(file: &Path, text: &str) -> Result<String, BuildFault> {
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| BuildFault::new(format!("{} is no TOML", file.display()), error.to_string(), ""))?;
    let list = table.get("project").and_then(|project| project.get("dependencies")).and_then(toml::Value::as_array);
    if list.is_none() && table.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("dependencies")).is_some() {
        let hint = "write them to requirements.txt (`poetry export -o requirements.txt`), or move them to [project] dependencies";
        return Err(BuildFault::new(format!("the dependencies in {} are in Poetry's own form", file.display()), "", hint));
    }
    let lines = list.into_iter().flatten().filter_map(toml::Value::as_str);
    Ok(lines.flat_map(|line| [line, "\n"]).collect())
}

impl Packages {
    /// Takes the packages from the cache, or installs them.
    pub(super) fn provide(
        tools: &Tools,
        cache: &Path,
        requirements: &Requirements,
        sdist: Sdist,
        temporary: &Path,
        trial: &Trial,
        progress: &dyn Progress,
    ) -> Result<Self, BuildFault> {
        let mut digest = Sha256::new();
        for text in requirements.files.values() {
            digest.update(format!("{text}\0"));
        }
        digest.update(format!("{LAYOUT} {sdist:?} {} {} {GUEST_PYTHON}", tools::COMPONENTIZE, tools::PIP));
        let key = hex(&digest.finalize());
        let folder = match sdist {
            Sdist::Refused => cache.join("packages").join(key),
            // A source on this machine may change without its name.
            Sdist::Allowed => temporary.join("packages"),
        };
        if !folder.is_dir() {
            progress.step("deps", "installing what the application requires");
            let parent = folder.parent().unwrap_or(cache);
            fs::create_dir_all(parent).map_err(BuildFault::io(parent))?;
            let unfinished = tempfile::tempdir_in(parent).map_err(BuildFault::io(parent))?;
            install(tools, unfinished.path(), requirements, sdist, trial)?;
            let kept = unfinished.keep();
            fs::rename(&kept, &folder).map_err(BuildFault::io(&folder))?;
        }
        let natives = fs::read(folder.join("natives.json")).map_err(BuildFault::io(&folder))?;
        let natives = serde_json::from_slice(&natives).map_err(|error| BuildFault::io(&folder)(io::Error::other(error)))?;
        let packages = Self { site: folder.join("site"), natives };
        progress.step("deps", &packages.told().map_err(BuildFault::io(&packages.site))?);
        Ok(packages)
    }

    fn told(&self) -> io::Result<String> {
        Ok(match distributions(&self.site)?.len() {
            0 => "none".to_owned(),
            count => format!("{count} packages"),
        })
    }
}

/// Fills `folder` with `site` and `natives.json`.
fn install(tools: &Tools, folder: &Path, requirements: &Requirements, sdist: Sdist, trial: &Trial) -> Result<(), BuildFault> {
    let site = folder.join("site");
    fs::create_dir_all(&site).map_err(BuildFault::io(&site))?;
    let list = match &requirements.list {
        List::None => None,
        List::File(file) => Some(file.clone()),
        List::Text(text) => {
            let file = folder.join("requirements.txt");
            fs::write(&file, text).map_err(BuildFault::io(&file))?;
            Some(file)
        }
    };
    let mut natives = Vec::new();
    if let Some(list) = list {
        let wheels = folder.join("wheels");
        if sdist == Sdist::Allowed {
            let built = output(tools.pip().args(["wheel", "--quiet", "--wheel-dir"]).arg(&wheels).arg("-r").arg(&list))?;
            if !built.status.success() {
                return Err(not_installed(&text(&built), sdist));
            }
        }
        let mut pip = for_guest(tools, &site, sdist);
        pip.args(["--python-version", GUEST_PYTHON, "--implementation", "cp", "--platform", "any"]);
        pip.args(["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"]);
        if sdist == Sdist::Allowed {
            pip.arg("--find-links").arg(&wheels);
        }
        let installed = output(pip.arg("-r").arg(&list))?;
        if !installed.status.success() {
            return Err(not_installed(&text(&installed), sdist));
        }
        natives = without_natives(tools, &site, folder).map_err(BuildFault::io(&site))?;
        trial.compile(&site)?;
        drop(fs::remove_dir_all(&wheels));
    }
    let natives = serde_json::to_vec(&natives).map_err(|error| BuildFault::io(folder)(io::Error::other(error)))?;
    fs::write(folder.join("natives.json"), natives).map_err(BuildFault::io(folder))
}

fn for_guest(tools: &Tools, site: &Path, sdist: Sdist) -> Command {
    let mut pip = tools.run_python();
    let sources = match sdist {
        Sdist::Refused => "refused",
        Sdist::Allowed => "allowed",
    };
    pip.args(["-c", PIP_FOR_GUEST, GUEST_PYTHON, sources, "--disable-pip-version-check", "--no-input", "--retries", "2"]);
    pip.args(["install", "--quiet", "--no-compile", "--only-binary", ":all:", "--target"]).arg(site);
    pip
}

/// What pip's words mean.
fn not_installed(printed: &str, sdist: Sdist) -> BuildFault {
    if let Some(fault) = unreachable_index(printed) {
        return fault;
    }
    if let Some((_, source)) = printed.lines().find_map(|line| line.split_once(REFUSED)) {
        return BuildFault::new(
            format!("`{}` is no wheel: to install it runs its author's code on this machine", source.trim()),
            "",
            "write a name and a version that has a wheel, as `flask==3.1`; or let it run: `--allow-sdist`",
        );
    }
    let missing = printed.lines().find_map(|line| line.split_once("No matching distribution found for ")).map(|(_, name)| name.trim());
    match (missing, sdist) {
        (Some(name), Sdist::Refused) => BuildFault::new(
            format!("`{name}` has no wheel that the guest's Python {GUEST_PYTHON} could use"),
            last_lines(printed),
            "if its name and version are right and it is pure Python, `--allow-sdist` builds it here: that runs its author's code on this machine",
        ),
        (Some(name), Sdist::Allowed) => BuildFault::new(
            format!("`{name}` cannot be installed for the guest's Python {GUEST_PYTHON}"),
            last_lines(printed),
            "it needs native code, or does not exist; use a pure Python package instead",
        ),
        (None, _) => BuildFault::new("what the application requires cannot be installed", last_lines(printed), ""),
    }
}

/// Replaces wheels with native modules by their pure variants; leaves the modules out where there is none.
fn without_natives(tools: &Tools, site: &Path, folder: &Path) -> io::Result<Vec<Native>> {
    let mut natives = Vec::new();
    for info in distributions(site)? {
        let (files, package) = (recorded(site, &info)?, named(&info));
        let modules: Vec<_> = files.iter().filter(|file| is_native(file)).collect();
        if modules.is_empty() {
            continue;
        }
        let pure = folder.join("pure");
        let mut pip = for_guest(tools, &pure, Sdist::Refused);
        pip.args(["--no-deps", "--python-version", GUEST_PYTHON, "--implementation", "py", "--abi", "none", "--platform", "any"]);
        let replaced = pip.arg(package.replace(' ', "==")).output()?.status.success();
        for file in if replaced { files.iter().collect() } else { modules.clone() } {
            drop(fs::remove_file(site.join(file)));
        }
        if replaced {
            drop(fs::remove_dir_all(&info));
            copy_tree(&pure, site)?;
            fs::remove_dir_all(&pure)?;
        } else {
            natives.extend(modules.into_iter().map(|file| Native {
                package: package.clone(),
                module: module_of(file),
                file: file.clone(),
            }));
        }
    }
    Ok(natives)
}

/// The `.dist-info` folders.
fn distributions(site: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(site)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "dist-info") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// `MarkupSafe-3.0.3.dist-info` as `MarkupSafe 3.0.3`.
fn named(info: &Path) -> String {
    info.file_stem().map_or_else(String::new, |name| name.to_string_lossy().replacen('-', " ", 1))
}

/// The files of a distribution, from its RECORD; those only that lie in `site`.
fn recorded(site: &Path, info: &Path) -> io::Result<Vec<String>> {
    let record = fs::read_to_string(info.join("RECORD"))?;
    let names = record.lines().map(|line| line.rsplitn(3, ',').last().unwrap_or_default().trim_matches('"').to_owned());
    Ok(names.filter(|name| !name.contains("..") && !name.starts_with('/') && site.join(name).is_file()).collect())
}

fn is_native(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    Path::new(name).extension().is_some_and(|ending| ending == "so" || ending == "pyd") || name.contains(".so.")
}

/// `markupsafe/_speedups.cpython-314-x86_64-linux-gnu.so` as `markupsafe._speedups`.
fn module_of(file: &str) -> String {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = name.split('.').next().unwrap_or(name);
    if folder.is_empty() { stem.to_owned() } else { format!("{}.{stem}", folder.replace('/', ".")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_with_what_they_include() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("req")).unwrap();
        fs::write(folder.path().join("requirements.txt"), "flask\n-r req/base.txt\n").unwrap();
        fs::write(folder.path().join("req/base.txt"), "-c limits.txt\n-r ../requirements.txt\n").unwrap();
        fs::write(folder.path().join("req/limits.txt"), "flask<4\n").unwrap();
        fs::write(folder.path().join("pyproject.toml"), "not read").unwrap();
        let requirements = Requirements::of(folder.path()).unwrap();
        let root = folder.path().canonicalize().unwrap();
        let files: Vec<_> = requirements.files.keys().map(|file| file.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
        assert_eq!(files, ["req/base.txt", "req/limits.txt", "requirements.txt"]);
    }

    #[test]
    fn a_variable_of_the_machine_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("requirements.txt"), "# ${A}\nflask\n--extra-index-url https://b.test/${SECRET}/\n").unwrap();
        let said = Requirements::of(folder.path()).unwrap_err().to_string();
        assert!(
            said.ends_with("requirements.txt asks for a variable of this machine: `--extra-index-url https://b.test/${SECRET}/`"),
            "{said}"
        );
    }

    #[test]
    fn a_projects_dependencies_are_read() {
        let read = |text| dependencies(Path::new("pyproject.toml"), text).map_err(|fault| fault.to_string());
        assert_eq!(read("[project]\ndependencies = ['flask>=3', 'a']"), Ok("flask>=3\na\n".into()));
        assert_eq!(read("[project]\nname = 'a'"), Ok(String::new()));
        assert_eq!(
            read("[tool.poetry.dependencies]\nflask = '3'"),
            Err("the dependencies in pyproject.toml are in Poetry's own form".into())
        );
        assert_eq!(read("["), Err("pyproject.toml is no TOML".into()));
    }

    #[test]
    fn native_modules_are_known_by_their_files() {
        assert_eq!(module_of("markupsafe/_speedups.cpython-314-x86_64-linux-gnu.so"), "markupsafe._speedups");
        assert_eq!(module_of("_cffi_backend.cpython-314-x86_64-linux-gnu.so"), "_cffi_backend");
        assert!(is_native("numpy.libs/libgfortran.so.5") && is_native("a/b.abi3.so") && !is_native("a/so.py"));
    }

    #[test]
    fn pips_words_become_a_hint() {
        let BuildFault::Failed { what, hint, .. } = not_installed("ERROR: No matching distribution found for foo==1", Sdist::Refused)
        else {
            panic!()
        };
        assert_eq!(what, "`foo==1` has no wheel that the guest's Python 3.14 could use");
        assert!(hint.contains("--allow-sdist"));
        let BuildFault::Failed { what, .. } = not_installed("ERROR: refused by wasgi: file:///x/evil", Sdist::Refused) else { panic!() };
        assert_eq!(what, "`file:///x/evil` is no wheel: to install it runs its author's code on this machine");
        let BuildFault::Failed { what, .. } = not_installed("WARNING: NewConnectionError(...)", Sdist::Refused) else { panic!() };
        assert_eq!(what, "the package index cannot be reached");
    }
}
