#!/bin/sh
# Runs in a fresh Debian, as the last step of its image: gives it the layout of the RHEL family. What is installed there from the
# beginning lies below root/ or is made here; the servers are RPM packages of their own, made of packages/ and of Debian's programs,
# which dnf, the real one, finds in a repository of files.
set -eux
here=/usr/src/stand-in
cd /
cp -r --no-preserve=ownership "$here/root/." /

# os-release(5)
rm -f /etc/os-release /etc/debian_version /etc/lsb-release
cat >/etc/os-release <<'END'
NAME="AlmaLinux"
VERSION="9.6 (stand-in)"
ID="almalinux"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.6"
PLATFORM_ID="platform:el9"
PRETTY_NAME="AlmaLinux 9.6 (stand-in)"
END
echo 'AlmaLinux release 9.6 (stand-in)' >/etc/redhat-release

# Users
for user in apache nginx; do
    useradd --system --user-group --home-dir "/usr/share/$user" --shell /usr/sbin/nologin "$user"
done
getent passwd haproxy postgres >/dev/null
userdel www-data

# Debian's ways, of which the family has none
rm -rf /etc/apache2 /etc/nginx /etc/haproxy/* /etc/postgresql /var/lib/postgresql /etc/default/haproxy
rm -f /usr/sbin/apache2ctl /usr/sbin/apachectl /usr/sbin/a2* /usr/bin/pg_* /usr/sbin/pg_*
for unit in apache2 apache2@ apache-htcacheclean apache-htcacheclean@ nginx haproxy postgresql postgresql@ pg_basebackup@ pg_dump@ pg_receivewal@; do
    find /etc/systemd /usr/lib/systemd -name "$unit.*" -exec rm -rf {} +
done
rm -f /usr/lib/systemd/system-generators/postgresql-generator /usr/lib/tmpfiles.d/haproxy.conf
rm -f /etc/init.d/apache* /etc/init.d/haproxy /etc/init.d/nginx /etc/init.d/postgresql

# The trust store: p11-kit reads where the family's does, and update-ca-trust(8) writes what it says.
mkdir -p /etc/pki/ca-trust/source/anchors /etc/pki/ca-trust/source/blocklist /usr/share/pki/ca-trust-source/anchors
mkdir -p /etc/pki/ca-trust/extracted/pem /etc/pki/ca-trust/extracted/openssl /etc/pki/tls/certs
install -d -m 0700 /etc/pki/tls/private
cat /usr/share/ca-certificates/mozilla/*.crt >/usr/share/pki/ca-trust-source/anchors/mozilla.pem
rm -rf /usr/share/ca-certificates /usr/local/share/ca-certificates /etc/ca-certificates* /usr/sbin/update-ca-certificates /etc/ssl/certs
module=$(find /usr/share/p11-kit/modules -name p11-kit-trust.module)
grep -v '^x-init-reserved' "$module" >/tmp/module
echo 'x-init-reserved: paths=/etc/pki/ca-trust/source:/usr/share/pki/ca-trust-source' >>/tmp/module
cat /tmp/module >"$module"
rm /tmp/module
bundle=/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
ln -s "$bundle" /etc/pki/tls/certs/ca-bundle.crt
ln -s "$bundle" /etc/pki/tls/cert.pem
ln -s /etc/pki/tls/certs /etc/ssl/certs
# Where the family's OpenSSL looks, which is built with --openssldir=/etc/pki/tls.
ln -sfn /etc/pki/tls/cert.pem /usr/lib/ssl/cert.pem
ln -sfn /etc/pki/tls/certs /usr/lib/ssl/certs
update-ca-trust extract

# The servers' programs go into the packages: a host has them as soon as dnf has installed them.
packages=$here/packages
move() { mkdir -p "$(dirname "$packages/$2")" && mv "$1" "$packages/$2"; }
move /usr/sbin/apache2 httpd/usr/libexec/stand-in/httpd
move /usr/lib/apache2/modules/mod_ssl.so mod_ssl/usr/lib/apache2/modules/mod_ssl.so
move /usr/sbin/nginx nginx/usr/sbin/nginx
move /usr/sbin/haproxy haproxy/usr/sbin/haproxy
mkdir -p "$packages/httpd/etc/httpd/conf.d" /var/log/httpd
ln -s ../../usr/lib/apache2/modules "$packages/httpd/etc/httpd/modules"
ln -s ../../var/log/httpd "$packages/httpd/etc/httpd/logs"
ln -s /run/httpd "$packages/httpd/etc/httpd/run"
mkdir -p "$packages/nginx/etc/nginx/conf.d" "$packages/nginx/etc/nginx/default.d"
echo 'types { text/html html; }' >"$packages/nginx/etc/nginx/mime.types"
mkdir -p "$packages/haproxy/etc/haproxy/conf.d" /var/lib/haproxy
install -d -m 0700 -o postgres -g postgres /var/lib/pgsql /var/lib/pgsql/data
for program in initdb psql; do
    rm -f "/usr/bin/$program"
    ln -s /usr/lib/postgresql/*/bin/$program "$packages/postgresql-server/usr/bin/$program"
done
ln -s /usr/lib/postgresql/*/bin/postgres "$packages/postgresql-server/usr/bin/postmaster"

# rpm's plugin for scripts with a /tmp of their own cannot work while an image is made.
mkdir -p /etc/rpm
echo '%__transaction_unshare %{nil}' >/etc/rpm/macros.stand-in
repository=/var/lib/stand-in/repository
for package in "$packages"/*; do
    name=$(basename "$package")
    (cd "$package" && find . -mindepth 1 ! -type d | sed 's|^\.||') >/tmp/files
    # Directories that are nobody else's.
    (cd "$package" && find . -mindepth 3 -type d -path './etc/*' | sed 's|^\.|%dir |') >>/tmp/files
    cat >/tmp/spec <<END
Name: $name
Version: 1
Release: 1.el9
Summary: Stand-in
License: none
BuildArch: noarch
AutoReqProv: no
Provides: /bin/sh
%description
%install
cp -a $package/. %{buildroot}
# What triggers of the family's systemd do.
%post
systemd-tmpfiles --create 2>/dev/null || :
systemctl daemon-reload || :
%files -f /tmp/files
END
    rpmbuild -bb --quiet --define "_rpmdir $repository" --define '_binaries_in_noarch_packages_terminate_build 0' \
        --define '__os_install_post %{nil}' --define 'debug_package %{nil}' /tmp/spec
done
rm -rf /tmp/spec /tmp/files /root/rpmbuild "$here"
createrepo_c --quiet "$repository"
dnf --quiet --assumeyes install postgresql-server
