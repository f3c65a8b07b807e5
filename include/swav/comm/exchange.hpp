// Some bytes from the first of a group of processes to all others, by TCP: what they need before they can form a group.
// In: this process's number, the first one's address, or torchrun's environment. Out: the bytes, or connections.
#pragma once

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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

/// All of `count` bytes, or false where the other side has ended, does not come in time, or the connection is lost.
inline bool send_bytes(const Socket& to, const void* bytes, std::size_t count) {
  for (const char* at = static_cast<const char*>(bytes); count > 0;) {
    const ssize_t part = send(to.get(), at, count, MSG_NOSIGNAL);
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) return false;
    at += part;
    count -= static_cast<std::size_t>(part);
  }
  return true;
}
inline bool receive_bytes(const Socket& from, void* bytes, std::size_t count) {
  for (char* at = static_cast<char*>(bytes); count > 0;) {
    const ssize_t part = recv(from.get(), at, count, 0);
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) return false;
    at += part;
    count -= static_cast<std::size_t>(part);
  }
  return true;
}

/// Connections of process 0 with all others. Throws ExchangeError unless all come before the time is over.
class Exchange {
  using Clock = std::chrono::steady_clock;

 public:
  explicit Exchange(const MeetingPoint& point) : point_(point), deadline_(Clock::now() + point.timeout) {
    require(point.rank >= 0 && point.rank < point.size, "MeetingPoint: rank ", point.rank, " of ", point.size,
            " processes found, 0 to size - 1 wanted");
  }

  /// For process 0: the socket of process r at r - 1, with no timeout.
  [[nodiscard]] std::vector<Socket> accept_all() const {
    const Socket listener = open([](const addrinfo& at) {
      Socket socket(::socket(at.ai_family, at.ai_socktype, at.ai_protocol));
      const int on = 1;
      setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
      const bool listens = bind(socket.get(), at.ai_addr, at.ai_addrlen) == 0 && listen(socket.get(), SOMAXCONN) == 0;
      return listens ? std::move(socket) : Socket();
    });
    std::vector<Socket> others(static_cast<std::size_t>(point_.size - 1));
    for (std::size_t come = 0; come < others.size(); ++come) {
      listener.set_timeout(left());
      Socket peer(accept(listener.get(), nullptr, nullptr));
      if (peer.get() < 0) fail("accept");
      peer.set_timeout(left());
      int rank = 0;
      if (!receive_bytes(peer, &rank, sizeof(rank))) fail("recv");
      if (rank < 1 || rank >= point_.size || others[static_cast<std::size_t>(rank - 1)].get() >= 0)
        throw ExchangeError(where("accept") + "process " + std::to_string(rank) +
                            (rank < 1 || rank >= point_.size ? " found" : " found twice"));
      peer.set_timeout(std::chrono::milliseconds(0));
      others[static_cast<std::size_t>(rank - 1)] = std::move(peer);
    }
    return others;
  }

  /// For the others: the socket of process 0, with no timeout.
  [[nodiscard]] Socket connect_to_first() const {
    Socket socket = open([](const addrinfo& at) {
      Socket candidate(::socket(at.ai_family, at.ai_socktype, at.ai_protocol));
      return connect(candidate.get(), at.ai_addr, at.ai_addrlen) == 0 ? std::move(candidate) : Socket();
    });
    if (!send_bytes(socket, &point_.rank, sizeof(point_.rank))) fail("send");
    return socket;
  }

  [[nodiscard]] std::chrono::milliseconds left() const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
    return left > std::chrono::milliseconds(1) ? left : std::chrono::milliseconds(1);
  }
  [[noreturn]] void fail(const char* call) const { throw ExchangeError(where(call) + std::strerror(errno)); }

 private:
  /// What `attempt` makes of one of the address's forms; tried again until the time is over.
  template <class Attempt>
  Socket open(Attempt attempt) const {
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

  [[nodiscard]] std::string where(const char* call) const {
    return concatenate("process ", point_.rank, " of ", point_.size, " at ", point_.address, ":", point_.port, ": ",
                       call, ": ");
  }

  const MeetingPoint& point_;
  Clock::time_point deadline_;
};

/// A number in an environment variable. Throws InvalidInput where there is none.
[[nodiscard]] inline int number_in_environment(const char* name) {
  const char* const text = std::getenv(name);
  require(text != nullptr, name, ": not set, a number wanted (torchrun sets it)");
  int value = 0;
  const char* const end = text + std::char_traits<char>::length(text);
  const auto result = std::from_chars(text, end, value);
  require(result.ec == std::errc() && result.ptr == end, name, ": '", text, "' found, a number wanted");
  return value;
}

}  // namespace detail

/// `bytes` of process 0 become those of all. Process 0 listens, and the others connect as soon as it does. Blocks;
/// throws ExchangeError after the timeout, InvalidInput for a rank outside of 0 to size - 1. Only for networks that are
/// trusted.
inline void share_by_tcp(const MeetingPoint& point, char* bytes, std::size_t count) {
  const detail::Exchange exchange(point);
  if (point.size == 1) return;
  if (point.rank == 0) {
    for (const detail::Socket& other : exchange.accept_all()) {
      other.set_timeout(exchange.left());
      if (!detail::send_bytes(other, bytes, count)) exchange.fail("send");
    }
  } else {
    const detail::Socket first = exchange.connect_to_first();
    first.set_timeout(exchange.left());
    if (!detail::receive_bytes(first, bytes, count)) exchange.fail("recv");
  }
}

/// Where processes meet by the environment variables of torchrun: RANK, WORLD_SIZE, MASTER_ADDR, and MASTER_PORT, on
/// which torchrun itself listens: they meet on the next port, or on that of SWAV_PORT. Throws InvalidInput where one is
/// missing or no number.
[[nodiscard]] inline MeetingPoint meeting_point_of_environment() {
  MeetingPoint point;
  point.rank = detail::number_in_environment("RANK");
  point.size = detail::number_in_environment("WORLD_SIZE");
  const char* const address = std::getenv("MASTER_ADDR");
  detail::require(address != nullptr, "MASTER_ADDR: not set, the address of process 0 wanted (torchrun sets it)");
  point.address = address;
  point.port = std::getenv("SWAV_PORT") != nullptr ? detail::number_in_environment("SWAV_PORT")
                                                   : detail::number_in_environment("MASTER_PORT") + 1;
  return point;
}

}  // namespace swav
