#!/usr/bin/env bash
# The documents as they are given away with the programs, in a folder of their own: README, the book, what the
# README names besides, and the licences. Links lead to what is there, or it fails.
#
#     packaging/documents.sh DIR
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
need_tool mdbook 0.5.4 --no-default-features
to=$(realpath -m "$1")
rm -rf "$to"
mkdir -p "$to"

# A warning is a broken page.
said=$(mdbook build book --dest-dir "$to/book" 2>&1) && ! grep -E 'WARN|ERROR' <<< "$said" || { echo "$said" >&2; exit 1; }
rm -f "$to/book/.nojekyll" "$to/book/CNAME"
cp README.md ARCHITECTURE.md SECURITY.md assets/MODELS.md assets/PROVENANCE.md backbone/benches/CUDA.md "$to/"
cp LICENSE LICENSE-MIT LICENSE-APACHE "$to/"
cp assets/font/LICENSE.txt "$to/LICENSE-FONT"
mkdir "$to/screenshots"
cp assets/screenshots/{viewer,speed}.jpg assets/screenshots/accuracy.svg "$to/screenshots/"
# Where things are there. What only the source has is not linked.
sed -i -E \
    -e 's#\]\(book/src/([a-z-]+)\.md#](book/\1.html#g' \
    -e 's#\]\((assets/|\.\./)?screenshots/#](screenshots/#g' \
    -e 's#\]\((assets|backbone/benches)/([A-Z]+\.md)#](\2#g' \
    -e 's#\[([^]]+)\]\(((training|detector/fuzz|eval/fuzz)/README\.md)\)#\1#g' "$to"/*.md

broken=
for file in "$to"/*.md; do
    while read -r link; do
        path=${link%%#*}
        [ -e "$to/$path" ] || broken+="${file##*/}: $link"$'\n'
    done < <(grep -oP '\]\(\K[^):]+(?=\))' "$file")
done
[ -z "$broken" ] || { printf 'documents: links that lead nowhere:\n%s' "$broken" >&2; exit 1; }
