/* SPDX-License-Identifier: MIT */
/* A service that starts at once: answers every request on PORT with 200. With the argument "once"
 * it closes its door after the first and stays. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = getenv("PORT");
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char request[4096];

    address.sin_port = htons((unsigned short)atoi(port ? port : "0"));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0) {
        return 1;
    }
    for (;;) {
        int client = accept(fd, NULL, NULL);

        if (recv(client, request, sizeof(request), 0) > 0 && argc > 1 &&
            strcmp(argv[1], "once") == 0) {
            (void)close(fd);
        }
        (void)send(client, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
        (void)close(client);
        if (argc > 1) {
            (void)pause();
            return 0;
        }
    }
}
