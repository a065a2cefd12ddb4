// SPDX-License-Identifier: Apache-2.0
/* io/kernel_socket.c - TCP sockets of the real machine, all non-blocking, all with TCP_NODELAY. */
#include "io/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static int resolve(const char *host, uint16_t port, int flags, struct addrinfo **ret_list)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    int error = getaddrinfo(host && *host ? host : NULL, service, &hints, ret_list);
    if (error == 0)
        return 0;
    return error == EAI_SYSTEM ? -errno : -EADDRNOTAVAIL;
}

static void address_of(const struct sockaddr_storage *from, struct io_address *ret_address)
{
    *ret_address = (struct io_address){0};
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        inet_ntop(AF_INET, &v4->sin_addr, ret_address->host, sizeof ret_address->host);
        ret_address->port = ntohs(v4->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], ret_address->host, sizeof ret_address->host);
        else
            inet_ntop(AF_INET6, &v6->sin6_addr, ret_address->host, sizeof ret_address->host);
        ret_address->port = ntohs(v6->sin6_port);
    }
}

static void local_address(int socket, struct io_address *ret_address)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    getsockname(socket, (struct sockaddr *)&address, &size);
    address_of(&address, ret_address);
}

static int listen_on(const struct addrinfo *where, int backlog)
{
    int handle = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (handle < 0)
        return -errno;
    int on = 1, off = 0;
    setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (where->ai_family == AF_INET6)
        setsockopt(handle, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(handle, where->ai_addr, where->ai_addrlen) == 0 && listen(handle, backlog) == 0)
        return handle;
    int error = errno;
    close(handle);
    return -error;
}

int io_listen(const char *host, uint16_t port, int backlog, struct io_address *ret_bound)
{
    struct addrinfo *list = NULL;
    int result = resolve(host, port, AI_PASSIVE, &list);
    if (result < 0)
        return result;
    int families[] = {AF_INET6, AF_INET};
    result = -EADDRNOTAVAIL;
    bool any = !host || !*host;
    for (size_t f = 0; f < COUNT_OF(families) && result < 0; f++)
        for (struct addrinfo *where = list; where && result < 0; where = where->ai_next)
            if (where->ai_family == (any ? families[f] : families[COUNT_OF(families) - 1 - f]))
                result = listen_on(where, backlog);
    freeaddrinfo(list);
    if (result >= 0)
        local_address(result, ret_bound);
    return result;
}

int io_accept(int listener, struct io_address *ret_peer, struct io_address *ret_local)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    int handle = accept4(listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (handle < 0)
        return errno == EINTR || errno == ECONNABORTED ? -EAGAIN : -errno;
    int on = 1;
    setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (ret_peer)
        address_of(&address, ret_peer);
    if (ret_local)
        local_address(handle, ret_local);
    return handle;
}

int io_connect(const char *host, uint16_t port)
{
    struct addrinfo *list = NULL;
    int result = resolve(host, port, 0, &list);
    if (result < 0)
        return result;
    int handle = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    result = handle < 0 ? -errno : handle;
    if (handle >= 0) {
        int on = 1;
        setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(handle, list->ai_addr, list->ai_addrlen) < 0 && errno != EINPROGRESS) {
            result = -errno;
            close(handle);
        }
    }
    freeaddrinfo(list);
    return result;
}

int io_connect_result(int handle)
{
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(handle, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

static int64_t outcome(ssize_t result)
{
    if (result >= 0)
        return result;
    return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

int64_t io_recv(int handle, void *ret_data, size_t size)
{
    return outcome(recv(handle, ret_data, size, 0));
}

int64_t io_sendv(int handle, const struct iovec *pieces, int count, bool more)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    return outcome(sendmsg(handle, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0)));
}

int64_t io_sendfile(int handle, int file, int64_t position, size_t size)
{
    off_t at = position;
    return outcome(sendfile(handle, file, &at, size));
}

void io_socket_close(int handle)
{
    if (handle >= 0)
        close(handle);
}

int io_socket_send_buffer(int handle, int size_bytes)
{
    if (size_bytes <= 0)
        return 0;
    return setsockopt(handle, SOL_SOCKET, SO_SNDBUF, &size_bytes, sizeof size_bytes) < 0 ? -errno : 0;
}

int io_socket_recv_buffer(int handle, int size_bytes)
{
    if (size_bytes <= 0)
        return 0;
    return setsockopt(handle, SOL_SOCKET, SO_RCVBUF, &size_bytes, sizeof size_bytes) < 0 ? -errno : 0;
}
