#!/usr/bin/env bash
# Tests our camera code against a real /dev/video0 without a camera: boots Debian's kernel with its test
# camera "vivid" in QEMU (no KVM, no root on this machine's devices) and runs examples/camera_check there.
# Needs Debian or Ubuntu; the packages it lacks are installed, the kernel is only unpacked, under target/.
# Takes a minute or two. Exit status: that of the check.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
need_rust
need_packages "${build_packages[@]}" qemu-system-x86 busybox-static cpio kmod xz-utils
PATH=$PATH:/usr/sbin:/sbin

target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --release --locked -p sandglass-detector --example camera_check
check=$target/release/examples/camera_check

cache=$target/camera-test
kernel=$cache/kernel
if [ ! -e "$kernel/ready" ]; then
    rm -rf "$kernel"
    mkdir -p "$kernel"
    package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    echo "fetching $package" >&2
    (cd "$kernel" && apt-get download -qq "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb)
    depmod -b "$kernel" "$(ls "$kernel/lib/modules")"
    touch "$kernel/ready"
fi
modules=$kernel/lib/modules/$(ls "$kernel/lib/modules")

# The guest: busybox, the driver with what it needs, the check with its libraries.
guest=$cache/guest
rm -rf "$guest"
mkdir -p "$guest"/{bin,dev,proc,sys,tmp,modules}
cp "$(command -v busybox)" "$guest/bin/busybox"
# A line of modules.dep is a module and what it needs, the last to be loaded first.
line=$(grep '/vivid\.ko' "$modules/modules.dep")
order=()
for module in $(echo "${line#*:}" | tr ' ' '\n' | tac) "${line%%:*}"; do
    cp "$modules/$module" "$guest/modules/"
    order+=("$(basename "$module")")
done
for file in "$check" $(ldd "$check" | grep -o '/[^ ]*'); do
    install -D "$file" "$guest$file"
done
cat > "$guest/init" << INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
cd /modules
for module in ${order[*]}; do
    options=
    # One camera that only captures, with one input.
    case \$module in vivid*) options="n_devs=1 node_types=0x1 num_inputs=1 input_types=0";; esac
    insmod \$module \$options
done
$check > /dev/ttyS1 2>&1
echo "exit \$?" > /dev/ttyS1
sleep 1
poweroff -f
INIT
chmod +x "$guest/init"
(cd "$guest" && find . | cpio -o -H newc --quiet) > "$cache/initrd"

timeout 600 qemu-system-x86_64 -machine pc -accel tcg -cpu max -smp 2 -m 1024 -nodefaults -display none -no-reboot \
    -kernel "$kernel"/boot/vmlinuz-* -initrd "$cache/initrd" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off" \
    -serial "file:$cache/kernel.log" -serial "file:$cache/check.log"
cat "$cache/check.log"
grep -q '^exit 0' "$cache/check.log" || {
    tail -5 "$cache/kernel.log" >&2
    exit 1
}
