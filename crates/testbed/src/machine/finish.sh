# Runs inside the new root file system, after all packages are in: what every machine has in common.
set -eu

# A machine is quiet: no timers, no consoles, no containerd unless it is a worker.
systemctl disable --quiet containerd.service e2scrub_reap.service systemd-pstore.service
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  fstrim.timer getty.target console-getty.service cloud-init-hotplugd.socket systemd-timesyncd.service \
  systemd-modules-load.service sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
  dev-hugepages.mount

# Three ways to be somebody else than root: sudo as clouds have it, sudo that insists on a terminal, none at all.
useradd --create-home --shell /bin/bash ubuntu
useradd --create-home --shell /bin/bash strict
useradd --create-home --shell /bin/bash guest
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/ubuntu
printf 'Defaults:strict requiretty\nstrict ALL=(ALL) NOPASSWD:ALL\n' >/etc/sudoers.d/strict
chmod 0440 /etc/sudoers.d/ubuntu /etc/sudoers.d/strict

# Each machine brings its own host keys and its own address; cloud-init leaves both alone.
rm -f /etc/ssh/ssh_host_*
cat >/etc/cloud/cloud.cfg.d/99-testbed.cfg <<'EOF'
datasource_list: [NoCloud, None]
network: {config: disabled}
locale: false
disable_root: false
ssh_deletekeys: false
ssh_genkeytypes: []
users: []
apt: {preserve_sources_list: true}
EOF

# CNI plugins where installers of network add-ons put and look for them.
mkdir -p /opt/cni/bin /etc/cni/net.d
for plugin in /usr/lib/cni/*; do ln -s "$plugin" /opt/cni/bin/; done

: >/etc/machine-id
rm -f /etc/hostname /etc/resolv.conf /var/lib/dbus/machine-id /usr/sbin/policy-rc.d
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log /usr/share/doc /usr/share/locale /usr/share/man
mkdir -p /usr/share/man/man1 /var/lib/k0s
