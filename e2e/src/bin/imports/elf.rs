//! The dynamic module, a shared library of Linux, and what the loader has to find for it.

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, SectionTable, Sym as _};

type Header = FileHeader64<Endianness>;
type Sections<'file> = SectionTable<'file, Header>;

/// What stands before the name of each function of Envoy's.
const CALLBACK: &str = "envoy_dynamic_module_callback_";

/// The functions of Envoy 1.40 that the module calls.
const CALLBACKS: [&str; 44] = [
    "get_most_specific_route_config",
    "http_add_header",
    "http_append_body",
    "http_clear_route_cache",
    "http_drain_body",
    "http_filter_config_decrement_gauge",
    "http_filter_config_define_counter",
    "http_filter_config_define_gauge",
    "http_filter_config_http_callout",
    "http_filter_config_increment_counter",
    "http_filter_config_increment_gauge",
    "http_filter_config_scheduler_commit",
    "http_filter_config_scheduler_delete",
    "http_filter_config_scheduler_new",
    "http_filter_config_set_gauge",
    "http_filter_config_start_http_stream",
    "http_filter_continue_decoding",
    "http_filter_decrement_gauge",
    "http_filter_get_attribute_bool",
    "http_filter_get_attribute_int",
    "http_filter_get_attribute_string",
    "http_filter_increment_counter",
    "http_filter_increment_gauge",
    "http_filter_reset_stream",
    "http_filter_scheduler_commit",
    "http_filter_scheduler_delete",
    "http_filter_scheduler_new",
    "http_filter_set_gauge",
    "http_get_body_chunks",
    "http_get_body_chunks_size",
    "http_get_body_size",
    "http_get_filter_state_bytes",
    "http_get_header",
    "http_get_headers",
    "http_get_headers_size",
    "http_get_metadata_keys_count",
    "http_send_response",
    "http_send_response_data",
    "http_set_filter_state_bytes",
    "http_set_header",
    "log",
    "network_filter_get_connection_id",
    "network_filter_inject_read_data",
    "network_filter_write",
];

/// What Rust's standard library and the unwinder ask the C library for: memory, threads, time, randomness, and files for
/// backtraces. None makes a socket or a process.
const LIBC: [&str; 67] = [
    "_ITM_deregisterTMCloneTable",
    "_ITM_registerTMCloneTable",
    "__cxa_finalize",
    "__cxa_thread_atexit_impl",
    "__errno_location",
    "__gmon_start__",
    "__pthread_key_create",
    "__register_atfork",
    "__tls_get_addr",
    "__xpg_strerror_r",
    "_dl_find_object",
    "abort",
    "bcmp",
    "calloc",
    "clock_gettime",
    "close",
    "dl_iterate_phdr",
    "dlsym",
    "free",
    "fstat64",
    "getauxval",
    "getcwd",
    "getenv",
    "getrandom",
    "gettid",
    "lseek64",
    "malloc",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "mmap64",
    "mprotect",
    "munmap",
    "open",
    "open64",
    "pause",
    "poll",
    "posix_memalign",
    "pthread_attr_destroy",
    "pthread_attr_getguardsize",
    "pthread_attr_getstack",
    "pthread_attr_init",
    "pthread_attr_setstacksize",
    "pthread_create",
    "pthread_detach",
    "pthread_getattr_np",
    "pthread_key_create",
    "pthread_key_delete",
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "pthread_once",
    "pthread_self",
    "pthread_setname_np",
    "pthread_setspecific",
    "read",
    "readlink",
    "realloc",
    "realpath",
    "sigaltstack",
    "stat64",
    "statx",
    "strlen",
    "syscall",
    "sysconf",
    "write",
    "writev",
];

/// The libraries that are part of every glibc.
const LIBRARIES: [&str; 5] =
    ["ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libpthread.so.0"];

/// The newest version of glibc whose functions may be asked for, which `docs/dynamic-module.md` says.
const GLIBC: (u32, u32) = (2, 35);

/// What a library asks the loader for.
#[derive(Debug, Default)]
struct Asked {
    /// The symbols that others have to define, with their versions.
    symbols: Vec<(String, Option<String>)>,
    libraries: Vec<String>,
    /// Says whether all of them have to be there when the library is loaded.
    binds_now: bool,
}

/// Returns what the library asks for that is not on the lists, or that older Envoys have not.
pub(crate) fn faults(library: &[u8]) -> Result<Vec<String>, String> {
    let asked = Asked::read(library).map_err(|error| error.to_string())?;
    let mut faults = Vec::new();
    for (symbol, version) in &asked.symbols {
        let version = version.as_deref().unwrap_or("no version");
        if !is_expected(symbol) {
            faults.push(format!("the symbol {symbol} ({version})"));
        } else if glibc(version).is_some_and(|version| version > GLIBC) {
            faults.push(format!("{symbol} of {version}, which is newer than is promised"));
        }
    }
    let strays = asked.libraries.iter().filter(|library| !LIBRARIES.contains(&library.as_str()));
    faults.extend(strays.map(|library| format!("the library {library}")));
    faults.extend(
        asked.binds_now.then(|| "all of it at once, though not every Envoy has it (BIND_NOW)".to_owned()),
    );
    Ok(faults)
}

fn is_expected(symbol: &str) -> bool {
    match symbol.strip_prefix(CALLBACK) {
        Some(callback) => CALLBACKS.contains(&callback),
        None => LIBC.contains(&symbol),
    }
}

/// Returns the numbers of a version of glibc.
fn glibc(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("GLIBC_")?.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}

impl Asked {
    fn read(library: &[u8]) -> object::Result<Self> {
        let header = Header::parse(library)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, library)?;
        let mut asked = Self { symbols: symbols(&sections, endian, library)?, ..Self::default() };
        let dynamic = sections.dynamic_table(endian, library)?;
        for entry in dynamic.iter() {
            match entry.tag {
                elf::DT_NEEDED => {
                    asked.libraries.push(String::from_utf8_lossy(dynamic.string(entry)?).into_owned());
                }
                elf::DT_BIND_NOW => asked.binds_now = true,
                elf::DT_FLAGS => asked.binds_now |= entry.val & elf::DF_BIND_NOW.0 != 0,
                elf::DT_FLAGS_1 => asked.binds_now |= entry.val & elf::DF_1_NOW.0 != 0,
                _ => {}
            }
        }
        Ok(asked)
    }
}

fn symbols(
    sections: &Sections<'_>,
    endian: Endianness,
    library: &[u8],
) -> object::Result<Vec<(String, Option<String>)>> {
    let table = sections.symbols(endian, library, elf::SHT_DYNSYM)?;
    let versions = sections.versions(endian, library)?.unwrap_or_default();
    let mut symbols = Vec::new();
    for (index, symbol) in table.enumerate().filter(|(_, symbol)| symbol.is_undefined(endian)) {
        let name = symbol.name(endian, table.strings())?;
        let version = versions.version(versions.version_index(endian, index).index())?;
        if !name.is_empty() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            symbols.push((text(name), version.map(|version| text(version.name()))));
        }
    }
    Ok(symbols)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Returns a shared library that the C compiler makes of a source.
    fn library(source: &str, arguments: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("library.c"), folder.path().join("library.so"));
        std::fs::write(&from, source).expect("a source");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-nostdlib", "-Wl,-z,lazy", "-o"])
            .args([&to, &from])
            .args(arguments)
            .status();
        assert!(compiled.expect("the C compiler that links Rust").success(), "{source}");
        std::fs::read(&to).expect("a library")
    }

    fn faults_of(source: &str, arguments: &[&str]) -> Vec<String> {
        faults(&library(source, arguments)).expect("a sound library")
    }

    #[test]
    fn a_library_asks_for_envoys_functions_and_listed_ones_of_the_c_library_alone() {
        for (function, expected) in [
            ("envoy_dynamic_module_callback_log", true),
            ("malloc", true),
            ("envoy_dynamic_module_callback_network_filter_close", false),
            ("system", false),
            ("_Unwind_Resume", false),
        ] {
            let source = format!("void {function}(void); void here(void) {{ {function}(); }}");
            let faults = faults_of(&source, &["-fno-builtin"]);
            assert_eq!(faults.is_empty(), expected, "{function}: {faults:?}");
            assert!(faults.iter().all(|fault| fault.contains(function)), "{faults:?}");
        }
    }

    #[test]
    fn a_library_that_needs_another_than_the_c_library_or_binds_at_once_is_found() {
        let source = "void here(void) {}";
        assert_eq!(faults_of(source, &["-lc", "-Wl,--no-as-needed"]), Vec::<String>::new());
        let needs = faults_of(source, &["-Wl,--no-as-needed", "-lgcc_s"]);
        assert_eq!(needs, ["the library libgcc_s.so.1"]);
        let binds = faults_of(source, &["-Wl,-z,now"]);
        assert!(binds.iter().any(|fault| fault.contains("BIND_NOW")), "{binds:?}");
    }

    #[test]
    fn a_version_of_the_c_library_is_compared_by_its_numbers() {
        assert_eq!(glibc("GLIBC_2.9"), Some((2, 9)));
        assert!(glibc("GLIBC_2.2.5") < glibc("GLIBC_2.34"));
        assert!(glibc("GLIBC_2.36") > Some(GLIBC));
        assert_eq!(glibc("GCC_3.0"), None);
    }
}
