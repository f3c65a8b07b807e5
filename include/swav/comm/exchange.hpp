// Some bytes from the first of a group of processes to all others, by TCP: what they need before they can form a group.
// In: this process's number, the first one's address. Out: the bytes.
#pragma once

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "swav/core/error.hpp"

namespace swav {

/// Where processes meet: `rank` of `size`, and the address and port of the first one's machine.
struct MeetingPoint {
  int rank = 0, size = 1;
  std::string address = "127.0.0.1";
  int port = 29501;
  std::chrono::seconds timeout{60};  ///< for all of them to come
};

/// Thrown when the processes do not meet; the message says what failed, and where.
class ExchangeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

class Socket {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  [[nodiscard]] int get() const { return descriptor_; }

  /// Gives up waiting after so long.
  void set_timeout(std::chrono::milliseconds left) const {
    timeval limit{};
    limit.tv_sec = static_cast<decltype(limit.tv_sec)>(left.count() / 1000);
    limit.tv_usec = static_cast<decltype(limit.tv_usec)>(left.count() % 1000 * 1000);
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  }

 private:
  int descriptor_;
};

class Exchange {
  using Clock = std::chrono::steady_clock;

 public:
  explicit Exchange(const MeetingPoint& point) : point_(point), deadline_(Clock::now() + point.timeout) {}

  void send_to_all(const char* bytes, std::size_t count) {
    const Socket listener = open([](const addrinfo& at) {
      Socket socket(::socket(at.ai_family, at.ai_socktype, at.ai_protocol));
      const int on = 1;
      setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
      const bool listens = bind(socket.get(), at.ai_addr, at.ai_addrlen) == 0 && listen(socket.get(), SOMAXCONN) == 0;
      return listens ? std::move(socket) : Socket();
    });
    for (int other = 1; other < point_.size; ++other) {
      listener.set_timeout(left());
      const Socket peer(accept(listener.get(), nullptr, nullptr));
      if (peer.get() < 0) fail("accept");
      peer.set_timeout(left());
      for (std::size_t sent = 0; sent < count;) {
        const ssize_t part = send(peer.get(), bytes + sent, count - sent, MSG_NOSIGNAL);
        if (part <= 0) fail("send");
        sent += static_cast<std::size_t>(part);
      }
    }
  }

  void receive(char* bytes, std::size_t count) {
    const Socket socket = open([](const addrinfo& at) {
      Socket candidate(::socket(at.ai_family, at.ai_socktype, at.ai_protocol));
      return connect(candidate.get(), at.ai_addr, at.ai_addrlen) == 0 ? std::move(candidate) : Socket();
    });
    socket.set_timeout(left());
    for (std::size_t received = 0; received < count;) {
      const ssize_t part = recv(socket.get(), bytes + received, count - received, 0);
      if (part <= 0) fail("recv");
      received += static_cast<std::size_t>(part);
    }
  }

 private:
  /// What `attempt` makes of one of the address's forms; tried again until the time is over.
  template <class Attempt>
  Socket open(Attempt attempt) {
    for (;;) {
      addrinfo hints{};
      hints.ai_family = AF_UNSPEC;
      hints.ai_socktype = SOCK_STREAM;
      addrinfo* found = nullptr;
      const int status = getaddrinfo(point_.address.c_str(), std::to_string(point_.port).c_str(), &hints, &found);
      if (status != 0) throw ExchangeError(where("getaddrinfo") + gai_strerror(status));
      Socket socket;
      for (const addrinfo* at = found; at != nullptr && socket.get() < 0; at = at->ai_next) socket = attempt(*at);
      const int error = errno;
      freeaddrinfo(found);
      if (socket.get() >= 0) return socket;
      errno = error;
      if (Clock::now() >= deadline_) fail(point_.rank == 0 ? "bind" : "connect");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  [[nodiscard]] std::chrono::milliseconds left() const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
    return left > std::chrono::milliseconds(1) ? left : std::chrono::milliseconds(1);
  }
  [[nodiscard]] std::string where(const char* call) const {
    return concatenate("process ", point_.rank, " of ", point_.size, " at ", point_.address, ":", point_.port, ": ",
                       call, ": ");
  }
  [[noreturn]] void fail(const char* call) const { throw ExchangeError(where(call) + std::strerror(errno)); }

  const MeetingPoint& point_;
  Clock::time_point deadline_;
};

}  // namespace detail

/// `bytes` of process 0 become those of all. Process 0 listens, and the others connect as soon as it does. Blocks;
/// throws ExchangeError after the timeout, InvalidInput for a rank outside of 0 to size - 1. Only for networks that are
/// trusted.
inline void share_by_tcp(const MeetingPoint& point, char* bytes, std::size_t count) {
  detail::require(point.rank >= 0 && point.rank < point.size, "MeetingPoint: rank ", point.rank, " of ", point.size,
                  " processes found, 0 to size - 1 wanted");
  if (point.size == 1) return;
  detail::Exchange exchange(point);
  if (point.rank == 0)
    exchange.send_to_all(bytes, count);
  else
    exchange.receive(bytes, count);
}

}  // namespace swav
