#!/usr/bin/env bash
# Makes the packages: target/package/sandglass_VERSION-1_amd64.deb, target/package/sandglass-VERSION-x86_64-linux-gnu.tar.gz
# and their SHA256SUMS. packaging/test.sh installs and runs them.
#
# The programs are linked against the symbols of an old glibc (below), so that they run on distributions of many
# years; the C++ of the video codec is inside them. There is no musl build: it needs Rust's standard library
# for that target, and the viewer loads the system's OpenGL, which a static program cannot.
#
# The same commit, toolchain and tools give the same bytes, whatever the folder: times are the commit's, and
# no path of this machine gets in. SOURCE_DATE_EPOCH overrides the time.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/packages.sh
need_rust
# nasm: the codec's assembly, which a build without it silently leaves out.
need_packages "${build_packages[@]}" binutils dpkg-dev nasm python3 python3-venv

glibc=2.17
triple=x86_64-unknown-linux-gnu
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$target
tools=$target/tools
built=$target/$triple/release
stage=$built/stage
out=$target/package
export LC_ALL=C TZ=UTC
umask 022

# Zig is the linker and the C compiler that knows old glibcs.
if ! "$tools/zig/bin/python" -m ziglang version 2> /dev/null | grep -qx 0.17.1; then
    python3 -m venv "$tools/zig"
    "$tools/zig/bin/pip" install -q ziglang==0.17.1 cargo-zigbuild==0.24.1
fi
need_tool cargo-deb 3.8.0
PATH=$tools/zig/bin:$PATH

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

# Flags of C compilers come in a list with blanks between.
for folder in "$PWD" "$target"; do
    [[ $folder != *[[:space:]]* ]] || { echo "package: the folder's name has a blank: $folder" >&2; exit 2; }
done
# Folders of this machine, and what they are called in the programs. The last that fits is taken.
cargo_home=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
folders=("$PWD=/sandglass" "$target=/target" "$cargo_home=/cargo" "$(rustc --print sysroot)=/rust")
RUSTFLAGS=$(printf -- '--remap-path-prefix=%s ' "${folders[@]}")
CFLAGS=$(printf -- '-ffile-prefix-map=%s ' "${folders[@]}")
export RUSTFLAGS CFLAGS CXXFLAGS=$CFLAGS
# The camera's bindings are made of the kernel's headers, which zig does not look for where Debian has them.
export BINDGEN_EXTRA_CLANG_ARGS="-idirafter /usr/include -idirafter /usr/include/$(dpkg-architecture -qDEB_HOST_MULTIARCH)"

# The programs by name, so that what only the other members of the workspace need stays out.
programs=(sandglass sandglass-detect sandglass-eval)
cargo zigbuild --release --locked --bins -p sandglass -p sandglass-detector -p sandglass-eval --target "$triple.$glibc"

for program in "${programs[@]}"; do
    newest=$(objdump -T "$built/$program" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
    echo "$program needs ${newest/_/ } or newer"
    [ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -1)" = "GLIBC_$glibc" ] ||
        { echo "package: $program needs $newest, not GLIBC_$glibc" >&2; exit 1; }
    for folder in "${folders[@]}"; do
        ! grep -qaF "${folder%%=*}/" "$built/$program" ||
            { echo "package: $program contains the path ${folder%%=*}" >&2; exit 1; }
    done
done

# What goes beside the programs.
rm -rf "$stage" "$out"
mkdir -p "$stage/man" "$stage"/completions/{bash,zsh,fish,powershell} "$out"
for program in "${programs[@]}"; do
    "$built/$program" generate man --to "$stage/man"
    for shell in bash zsh fish powershell; do
        "$built/$program" generate "$shell" --to "$stage/completions/$shell"
    done
done
sed "s/@VERSION@/$version/; s/@DATE@/$(date -d "@$SOURCE_DATE_EPOCH" +%F)/" packaging/sandglass.metainfo.xml \
    > "$stage/sandglass.metainfo.xml"
zig=$(echo "$tools"/zig/lib/python3*/site-packages/ziglang)
packaging/licences.py "$triple" \
    "Rust's standard library" "MIT OR Apache-2.0" LICENSE-APACHE \
    "libc++ and libc++abi" "Apache-2.0 WITH LLVM-exception" "$zig/lib/libcxx/LICENSE.TXT" \
    "libunwind" "Apache-2.0 WITH LLVM-exception" "$zig/lib/libunwind/LICENSE.TXT" \
    "Zig's compiler-rt" "MIT" "$zig/LICENSE" > "$stage/THIRD-PARTY.txt"

packaging/documents.sh "$stage/documents"

# Debian has manual pages and long documents compressed, and the licences in the file copyright.
mkdir "$stage/deb"
cp -r "$stage/documents" "$stage/deb-documents"
rm "$stage"/deb-documents/LICENSE*
cp "$stage"/man/*.1 "$stage/THIRD-PARTY.txt" "$stage/deb/"
cp CHANGELOG.md "$stage/deb/changelog"
maintainer=$(sed -n 's/^maintainer = "\(.*\)"/\1/p' gui/Cargo.toml)
cat > "$stage/deb/changelog.Debian" << CHANGES
sandglass ($version-1) unstable; urgency=medium

  * What changed is in changelog.gz.

 -- $maintainer  $(date -R -d "@$SOURCE_DATE_EPOCH")
CHANGES
gzip -9n "$stage"/deb/*
# Symbols stay in: the note after a crash has the names of functions.
cargo deb --no-build --no-strip --locked -p sandglass --target "$triple" -o "$out/"

name=sandglass-$version-x86_64-linux-gnu
folder=$stage/$name
mkdir -p "$folder"/{bin,share/applications,share/metainfo,share/icons/hicolor/scalable/apps,share/man/man1,completions}
for program in "${programs[@]}"; do install "$built/$program" "$folder/bin/"; done
cp "$stage"/man/*.1 "$folder/share/man/man1/"
cp -r "$stage"/completions/* "$folder/completions/"
cp packaging/sandglass.desktop "$folder/share/applications/"
cp packaging/sandglass.svg "$folder/share/icons/hicolor/scalable/apps/"
cp "$stage/sandglass.metainfo.xml" "$folder/share/metainfo/"
cp -r "$stage"/documents/* "$stage/THIRD-PARTY.txt" "$folder/"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    -C "$stage" -c "$name" | gzip -9n > "$out/$name.tar.gz"

(cd "$out" && sha256sum -- *.deb *.tar.gz > SHA256SUMS && cat SHA256SUMS && ls -l)
