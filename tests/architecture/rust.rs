//! Imports between Rust files: `use` and paths in code, resolved through re-exports to the file that defines the item. Test
//! code within a file (`#[cfg(test)]`) may import from anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree};

use crate::Import;

/// The name by which binaries import the library.
const LIBRARY: &str = "convoke";

/// Names separated by `::`.
type Names = Vec<String>;

/// A module by its crate's root file and its path within the crate.
type ModulePath = (String, Names);

#[derive(Default)]
struct Module {
    file: String,
    /// The names defined here, other than modules.
    items: BTreeSet<String>,
    /// The names imported here, and their paths.
    uses: BTreeMap<String, Names>,
    /// The paths whose names are all imported here.
    globs: Vec<Names>,
    /// The paths in the module's code.
    mentions: BTreeSet<Names>,
}

/// The modules of all crates under a folder.
#[derive(Default)]
pub struct Sources {
    modules: BTreeMap<ModulePath, Module>,
    library: String,
}

/// The meaning of a path.
enum Meaning {
    Module(ModulePath),
    /// An item, by the file that defines it.
    Item(String),
}

impl Sources {
    /// Reads the library `lib.rs` and the binaries `main.rs`, `bin/NAME.rs` and `bin/NAME/main.rs` of a folder.
    pub fn read(root: &Path, folder: &str, files: &BTreeSet<String>) -> Self {
        let library = format!("{folder}/lib.rs");
        let mut sources = Sources { library: library.clone(), ..Sources::default() };
        let is_root = |file: &&String| {
            let inside = file.strip_prefix(&format!("{folder}/")).expect("a file of the folder");
            let parts: Vec<&str> = inside.split('/').collect();
            matches!(parts[..], ["lib.rs" | "main.rs"] | ["bin", _] | ["bin", _, "main.rs"])
        };
        for file in files.iter().filter(is_root) {
            sources.load(root, file, (file.clone(), vec![]), files);
        }
        sources
    }

    /// Returns the files that are part of a crate outside of tests.
    pub fn files(&self) -> BTreeSet<String> {
        self.modules.values().map(|module| module.file.clone()).collect()
    }

    pub fn imports(&self) -> BTreeSet<Import> {
        let mut found = BTreeSet::new();
        for (at, module) in &self.modules {
            for path in module.mentions.iter().chain(module.uses.values()) {
                if let Some(Meaning::Item(to)) = self.resolve(at, path, 0)
                    && to != module.file
                {
                    found.insert(Import { from: module.file.clone(), to });
                }
            }
            for path in &module.globs {
                if let Some(to) = self.resolve(at, path, 0).map(|meaning| self.file_of(&meaning))
                    && to != module.file
                {
                    found.insert(Import { from: module.file.clone(), to });
                }
            }
        }
        found
    }

    fn load(&mut self, root: &Path, file: &str, at: ModulePath, files: &BTreeSet<String>) {
        let syntax = syn::parse_file(&crate::read(root, file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add_module(root, file, at, syntax.items, files);
    }

    fn add_module(&mut self, root: &Path, file: &str, at: ModulePath, items: Vec<Item>, files: &BTreeSet<String>) {
        let mut module = Module { file: file.to_string(), ..Module::default() };
        for item in items.into_iter().filter(|item| !is_test(item)) {
            match item {
                Item::Mod(child) => self.add_child(root, file, &at, child, files),
                Item::Use(item) => module.add_use(item),
                item => module.add_item(&item),
            }
        }
        self.modules.insert(at, module);
    }

    fn add_child(&mut self, root: &Path, file: &str, at: &ModulePath, child: ItemMod, files: &BTreeSet<String>) {
        let name = child.ident.to_string();
        let path = (at.0.clone(), [at.1.clone(), vec![name.clone()]].concat());
        if let Some((_, items)) = child.content {
            return self.add_module(root, file, path, items, files);
        }
        let (folder, own) = file.rsplit_once('/').expect("a file in a folder");
        let folder = match own {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_string(),
            // The root file of a binary stands beside its modules.
            _ if file == at.0 => folder.to_string(),
            own => format!("{folder}/{}", own.trim_end_matches(".rs")),
        };
        let candidates = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")];
        let child = candidates.iter().find(|candidate| files.contains(*candidate));
        let child = child.unwrap_or_else(|| panic!("{file}: no file for the module `{name}`"));
        self.load(root, child, path, files);
    }

    fn file_of(&self, meaning: &Meaning) -> String {
        match meaning {
            Meaning::Module(path) => self.modules[path].file.clone(),
            Meaning::Item(file) => file.clone(),
        }
    }

    /// Finds the meaning of a path in a module; `None` for other crates and for local names. Imports that stand for each
    /// other would never end, hence the limit on the depth.
    fn resolve(&self, at: &ModulePath, path: &[String], depth: usize) -> Option<Meaning> {
        let (first, mut rest) = path.split_first()?;
        let mut meaning = match first.as_str() {
            "crate" => Meaning::Module((at.0.clone(), vec![])),
            "self" => Meaning::Module(at.clone()),
            "super" => Meaning::Module((at.0.clone(), at.1.split_last()?.1.to_vec())),
            LIBRARY if at.0 != self.library => Meaning::Module((self.library.clone(), vec![])),
            name => self.lookup(at, name, depth)?,
        };
        while let (Meaning::Module(module), Some((name, after))) = (&meaning, rest.split_first()) {
            meaning = match name.as_str() {
                "super" => Meaning::Module((module.0.clone(), module.1.split_last()?.1.to_vec())),
                "self" => Meaning::Module(module.clone()),
                // A name that no source line spells, such as one that a macro defines, belongs to its module.
                name => self.lookup(module, name, depth).unwrap_or_else(|| Meaning::Item(self.file_of(&meaning))),
            };
            rest = after;
        }
        Some(meaning)
    }

    fn lookup(&self, at: &ModulePath, name: &str, depth: usize) -> Option<Meaning> {
        if depth > 8 {
            return None;
        }
        let child = (at.0.clone(), [at.1.clone(), vec![name.to_string()]].concat());
        if self.modules.contains_key(&child) {
            return Some(Meaning::Module(child));
        }
        let module = self.modules.get(at)?;
        if module.items.contains(name) {
            return Some(Meaning::Item(module.file.clone()));
        }
        if let Some(path) = module.uses.get(name) {
            return self.resolve(at, path, depth + 1);
        }
        module.globs.iter().find_map(|glob| match self.resolve(at, glob, depth + 1)? {
            Meaning::Module(module) if module != *at => self.lookup(&module, name, depth + 1),
            _ => None,
        })
    }
}

impl Module {
    fn add_use(&mut self, item: ItemUse) {
        if item.leading_colon.is_none() {
            self.add_tree(vec![], item.tree);
        }
    }

    fn add_tree(&mut self, mut path: Names, tree: UseTree) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.add_tree(path, *tree.tree);
            }
            UseTree::Group(group) => group.items.into_iter().for_each(|tree| self.add_tree(path.clone(), tree)),
            UseTree::Glob(_) => self.globs.push(path),
            UseTree::Name(name) if name.ident == "self" => {
                self.uses.insert(path[path.len() - 1].clone(), path);
            }
            UseTree::Name(name) => self.add_name(path, &name.ident, name.ident.to_string()),
            // Traits are imported as `_`, any number of them.
            UseTree::Rename(tree) => {
                let name = if tree.rename == "_" { path.join("::") + "::_" } else { tree.rename.to_string() };
                self.add_name(path, &tree.ident, name);
            }
        }
    }

    fn add_name(&mut self, mut path: Names, ident: &Ident, name: String) {
        if ident != "self" {
            path.push(ident.to_string());
        }
        self.uses.insert(name, path);
    }

    fn add_item(&mut self, item: &Item) {
        let ident = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        self.items.extend(ident.map(ToString::to_string));
        self.scan(item.to_token_stream());
    }

    /// Collects the paths of two names and more in code, macros' arguments included.
    fn scan(&mut self, tokens: TokenStream) {
        let mut tokens: &[TokenTree] = &tokens.into_iter().collect::<Vec<_>>();
        while let Some((token, rest)) = tokens.split_first() {
            tokens = rest;
            match token {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Punct(punct) if punct.as_char() == '#' && begins_with_test(rest) => {
                    tokens = after_item(rest)
                }
                TokenTree::Ident(ident) if ident == "use" => tokens = self.scan_use(rest),
                TokenTree::Ident(ident) => tokens = self.scan_path(ident, rest),
                TokenTree::Punct(punct) if punct.as_char() == '.' && matches!(rest, [TokenTree::Ident(_), ..]) => {
                    tokens = &rest[1..];
                }
                _ => {}
            }
        }
    }

    /// Collects an import inside of a function, and returns the tokens after it.
    fn scan_use<'a>(&mut self, tokens: &'a [TokenTree]) -> &'a [TokenTree] {
        let end = tokens.iter().position(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ';'));
        let end = end.map_or(tokens.len(), |at| at + 1);
        let words = [TokenTree::Ident(Ident::new("use", proc_macro2::Span::call_site()))];
        let statement: TokenStream = words.into_iter().chain(tokens[..end].iter().cloned()).collect();
        match syn::parse2(statement) {
            Ok(item) => {
                self.add_use(item);
                &tokens[end..]
            }
            // The `use<'a>` of a return type.
            Err(_) => tokens,
        }
    }

    /// Collects the path that begins with `first`, and returns the tokens after it.
    fn scan_path<'a>(&mut self, first: &Ident, mut tokens: &'a [TokenTree]) -> &'a [TokenTree] {
        let mut path = vec![first.to_string()];
        while let [TokenTree::Punct(a), TokenTree::Punct(b), TokenTree::Ident(name), rest @ ..] = tokens
            && (a.as_char(), b.as_char()) == (':', ':')
        {
            path.push(name.to_string());
            tokens = rest;
        }
        if path.len() > 1 {
            self.mentions.insert(path);
        }
        tokens
    }
}

fn is_test(item: &Item) -> bool {
    let attributes = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().map(Attribute::to_token_stream).any(|tokens| is_test_text(&tokens.to_string()))
}

/// Tells whether an attribute leaves code out of everything but tests.
fn is_test_text(attribute: &str) -> bool {
    let text: String = attribute.chars().filter(|c| !c.is_whitespace()).collect();
    text.contains("[cfg(test)") || text.contains("[cfg(all(test,")
}

fn begins_with_test(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Group(group), ..] if is_test_text(&group.to_string()))
}

/// Returns the tokens after the next item: after its braces or its semicolon.
fn after_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => is_body(group),
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    tokens.iter().position(ends).map_or(&[], |at| &tokens[at + 1..])
}

fn is_body(group: &Group) -> bool {
    group.delimiter() == proc_macro2::Delimiter::Brace
}
