/* SPDX-License-Identifier: MIT */
#include "agent/package/rpm/rpm-sign.h"

#include "protocol/base/text.h"

#include <errno.h>
#include <string.h>

/* RFC 9580: of packets (4.2), of signatures (5.2.3), of public-key algorithms (9.1). */
#define PACKET_IS_ONE 0x80
#define PACKET_IS_NEW 0x40
#define PACKET_SIGNATURE 2
#define SIGNATURE_VERSION 4
#define ALGORITHM_RSA 1

#define ARMOR_BEGIN "-----BEGIN PGP SIGNATURE-----\n"
#define ARMOR_END "-----END"

/* A signature of RSA with 16384 bits has two kilobytes. */
#define SIGNATURE_BYTES_MAX ((size_t)16 << 10)

/* Behind a packet's tag and its length, however these are written; 0: there is none. */
static size_t find_body(const unsigned char *packet, size_t n)
{
    size_t size;

    if (n < 2 || !(packet[0] & PACKET_IS_ONE)) {
        return 0;
    }
    if (packet[0] & PACKET_IS_NEW) {
        size = packet[1] < 192 ? 2 : packet[1] < 224 ? 3 : packet[1] == 255 ? 6 : 0;
        return (packet[0] & 0x3f) == PACKET_SIGNATURE && size < n ? size : 0;
    }
    size = (packet[0] & 3) == 3 ? 0 : 1 + ((size_t)1 << (packet[0] & 3));
    return ((packet[0] >> 2) & 0xf) == PACKET_SIGNATURE && size < n ? size : 0;
}

int rpm_sign_find_tag(const void *packet, size_t n, RpmTag *ret, Error *err)
{
    const unsigned char *bytes = packet;
    size_t body = find_body(bytes, n);

    if (body == 0 || body + 3 > n || bytes[body] != SIGNATURE_VERSION) {
        return error_set(err, -EBADMSG, "gpg gave no OpenPGP signature of version 4");
    }
    *ret = bytes[body + 2] == ALGORITHM_RSA ? RPM_SIGNATURE_RSA : RPM_SIGNATURE_DSA;
    return 0;
}

/* Headers, an empty line, base64, and a line with a checksum, which gpg need not check for us. */
int rpm_sign_open_armor(const char *text, Buffer *out, Error *err)
{
    _cleanup_buffer_ Buffer base64 = BUFFER_INIT(SIGNATURE_BYTES_MAX);
    const char *begin = text_has_prefix(text, ARMOR_BEGIN) ? strstr(text, "\n\n") : NULL;
    int r = begin ? 0 : -EBADMSG;

    for (const char *line = begin ? begin + 2 : ""; r == 0 && *line && *line != '=';) {
        size_t n = strcspn(line, "\n");

        if (text_has_prefix(line, ARMOR_END)) {
            break;
        }
        r = buffer_append(&base64, line, n);
        line += n + (line[n] == '\n');
    }
    if (r == 0) {
        r = text_decode_base64(out, buffer_text(&base64), base64.len);
    }
    return r < 0 ? error_set(err, r == -ENOMEM ? r : -EBADMSG, "gpg gave no armored signature") : 0;
}

int rpm_sign(const GpgKey *key, const Buffer *header, RpmHeader *signature, Error *err)
{
    _cleanup_buffer_ Buffer armor = BUFFER_INIT(SIGNATURE_BYTES_MAX);
    _cleanup_buffer_ Buffer packet = BUFFER_INIT(SIGNATURE_BYTES_MAX);
    RpmTag tag;
    int r = gpg_detach_sign(key, header->data, header->len, &armor, err);

    r = r == 0 ? rpm_sign_open_armor(buffer_text(&armor), &packet, err) : r;
    r = r == 0 ? rpm_sign_find_tag(packet.data, packet.len, &tag, err) : r;
    if (r < 0) {
        return error_wrap(err, "signing the rpm with '%s'", key->key);
    }
    r = rpm_header_set_binary(signature, tag, packet.data, packet.len);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}
