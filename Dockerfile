# The image holds the binary and the certificates that it trusts, and nothing else: no shell, no user but 65532, nothing that needs
# a writable root. Run it with --read-only; what Daybook keeps is in /data, what it exports to a folder goes to /audit. docs/OPERATIONS.md
# says how the service is run in it.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/daybook ./cmd/daybook
# A volume takes its owner from the folder it is mounted over, so both are there, and belong to the user of the image.
RUN mkdir /out/data /out/audit

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /out/daybook /daybook
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/audit /audit
# Without a home folder, the state of an export goes to the data volume.
ENV XDG_STATE_HOME=/data
USER 65532:65532
VOLUME ["/data", "/audit"]
# What daybook serve listens at by default; in a container service.listen is 0.0.0.0:8470.
EXPOSE 8470
WORKDIR /
ENTRYPOINT ["/daybook"]
