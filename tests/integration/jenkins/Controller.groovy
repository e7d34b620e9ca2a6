// SPDX-License-Identifier: MIT
/**
 * A Jenkins for one build, as far as its steps go; the programs that `sh` starts are real.
 *
 *     groovy Main.groovy CONFIG.json
 *
 * Its log is stdout; what it shows besides (stages, test results, archived files, questions) is one JSON object a
 * line of `events`. Each finished step is written to `home`, so that a controller that was killed in the middle and
 * started again goes on where it was, as Jenkins does: what has finished is not done again, and a `sh` that runs is
 * followed from where its log was read to.
 */
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.util.regex.Pattern

class Interrupted extends Exception {
    Interrupted(String message) {
        super(message)
    }
}

class Aborted extends Exception {
    Aborted(String message) {
        super(message)
    }
}

class Environment {
    Controller controller

    def getProperty(String name) {
        return this.@controller.variables()[name]
    }

    void setProperty(String name, Object value) {
        if (name == 'controller') {
            this.@controller = value
        } else {
            this.@controller.buildVariables[name] = value.toString()
        }
    }
}

class Build implements Serializable {
    long startTimeInMillis
    List causes
    String result

    List getBuildCauses(String type) {
        return type == 'hudson.model.Cause$UserIdCause' ? causes : []
    }
}

class Controller {
    static final List BLOCKS = ['node', 'stage', 'withEnv', 'withCredentials', 'dir', 'timeout', 'pipeline']
    static final String KEEP = 'jenkins-result.txt'

    Map config
    File home, events
    Binding binding
    Build build
    Map buildVariables = [:]
    List frames = [[env: [:], cwd: null]]
    List journal = []
    int steps = 0
    List secrets = []

    Controller(Map config) {
        this.config = config
        home = new File(config.home)
        home.mkdirs()
        events = new File(config.events)
        buildVariables.putAll(config.env)
        File past = new File(home, 'journal')
        if (past.exists()) {
            journal = past.readLines().collect { new JsonSlurper().parseText(it) }
        }
        build = new Build(startTimeInMillis: config.started, causes: config.causes.collect { new HashMap(it) })
    }

    // ---- what a build is ---------------------------------------------------------------------------

    void run() {
        String result = 'SUCCESS'

        try {
            load().run()
            result = build.result ?: result
        } catch (Interrupted e) {
            say e.message
            result = 'ABORTED'
        } catch (Aborted e) {
            say "ERROR: ${e.message}"
            result = 'FAILURE'
        } catch (Throwable e) {
            org.codehaus.groovy.runtime.StackTraceUtils.sanitize(e).printStackTrace(System.out)
            result = 'FAILURE'
        }
        say "Finished: ${result}"
    }

    Script load() {
        def settings = new org.codehaus.groovy.control.CompilerConfiguration(scriptBaseClass: 'Library')
        def loader = new GroovyClassLoader(Controller.classLoader, settings)

        binding = new Binding([' controller': this, env: new Environment(controller: this), currentBuild: build,
                               params: [:], scm: 'scm'])
        new File(config.library, 'vars').eachFileMatch(~/.*\.groovy/) { file ->
            Script variable = loader.parseClass(file).newInstance()
            variable.binding = binding
            binding.setVariable(file.name - '.groovy', variable)
        }
        Script script = loader.parseClass(new File(config.jenkinsfile)).newInstance()
        script.binding = binding
        return script
    }

    Map variables() {
        Map all = [:] + buildVariables

        frames.each { all.putAll(it.env) }
        return all.findAll { it.value != '' }
    }

    File here() {
        File found = frames.findAll { it.cwd }.collect { it.cwd }.with { it ? it.last() : null }

        if (!found) {
            throw new IllegalStateException('Required context class hudson.FilePath is missing: no node here')
        }
        return found
    }

    def within(Map frame, Closure body) {
        frames.add([env: [:], cwd: null] + frame)
        try {
            return body()
        } finally {
            frames.pop()
        }
    }

    def withNode(boolean isWanted, Closure body) {
        return isWanted ? step('node', ['', body]) : body()
    }

    synchronized void say(String text) {
        String shown = text

        secrets.each { shown = shown.replace(it, '****') }
        println shown
        System.out.flush()
    }

    void tell(Map event) {
        events.append(JsonOutput.toJson(event) + '\n')
    }

    // ---- steps -------------------------------------------------------------------------------------

    /* Jenkins keeps what a step is given and what it gives: it must be serializable. */
    static void mustKeep(Object value, String what) {
        if (!(value instanceof Closure)) {
            try {
                new ObjectOutputStream(new ByteArrayOutputStream()).writeObject(value)
            } catch (NotSerializableException e) {
                throw new IllegalStateException("${what}: java.io.NotSerializableException: ${e.message}")
            }
        }
    }

    def step(String name, List arguments) {
        String method = 'step_' + name
        int number = steps++
        def value

        arguments.each { mustKeep(it, name) }
        if (name == 'file') { // a symbol, not a step
            return [file: arguments[0]]
        }
        if (metaClass.respondsTo(this, method).isEmpty()) {
            throw new NoSuchMethodError("No such DSL method '${name}' found among steps")
        }
        if (name in BLOCKS) {
            value = "$method"(*arguments)
            mustKeep(value, name)
            return value
        }
        if (number < journal.size()) {
            assert journal[number].name == name: "the build went another way than before: step ${number}"
            return journal[number].value
        }
        value = name == 'sh' ? step_sh(arguments[0], number) : "$method"(*arguments)
        mustKeep(value, name)
        while (journal.size() < number) {
            journal.add([name: '']) // blocks
            new File(home, 'journal').append(JsonOutput.toJson([name: '']) + '\n')
        }
        journal.add([name: name, value: value])
        new File(home, 'journal').append(JsonOutput.toJson([name: name, value: value]) + '\n')
        return value
    }

    def step_pipeline(Closure body) {
        Declarative.run(this, body.owner, body)
    }

    def step_node(Closure body) {
        return step_node('', body)
    }

    def step_node(String label, Closure body) {
        File workspace = new File(config.workspace)

        workspace.mkdirs()
        tell([node: label])
        return within([env: [WORKSPACE: workspace.path, NODE_NAME: 'node-1'], cwd: workspace], body)
    }

    def step_stage(String name, Closure body) {
        tell([stage: name])
        say "[Pipeline] { (${name})"
        return within([:], body)
    }

    def step_withEnv(List pairs, Closure body) {
        return within([env: pairs.collectEntries { String pair ->
            assert pair.contains('=')
            [(pair.substring(0, pair.indexOf('='))): pair.substring(pair.indexOf('=') + 1)]
        }], body)
    }

    def step_withCredentials(List bindings, Closure body) {
        Map variables = [:]

        bindings.each {
            String path = config.credentials[it.file.credentialsId]
            if (!path) {
                throw new Aborted("Could not find credentials entry with ID '${it.file.credentialsId}'")
            }
            variables[it.file.variable] = path
            secrets.add(path)
        }
        return within([env: variables], body)
    }

    def step_dir(String path, Closure body) {
        return within([cwd: new File(here(), path)], body)
    }

    def step_timeout(Map options, Closure body) {
        assert options.unit == 'HOURS'
        return body()
    }

    def step_echo(String text) {
        say text
    }

    def step_error(String text) {
        throw new Aborted(text)
    }

    def step_unstable(String text) {
        say "WARNING: ${text}"
        build.result = 'UNSTABLE'
    }

    String step_libraryResource(String path) {
        return new File(config.library, 'resources/' + path).getText('UTF-8')
    }

    String step_readFile(Map options) {
        return new File(here(), options.file).getText(options.encoding)
    }

    boolean step_fileExists(String path) {
        return new File(here(), path).exists()
    }

    /* The git plugin's. */
    Map step_checkout(Object scm) {
        Process git = ['git', '-c', 'safe.directory=*', 'clone', '-q', '--', config.scm, '.'].execute(null, here())

        assert git.waitFor() == 0: git.err.text
        String commit = ['git', 'rev-parse', 'HEAD'].execute(null, here()).text.trim()
        return config.hasScmVariables ? [GIT_URL: config.scm, GIT_COMMIT: commit, GIT_BRANCH: 'origin/main'] : [:]
    }

    def step_stash(Map options) {
        File to = new File(home, 'stash-' + options.name)

        to.mkdirs()
        List found = matching(options.includes, '')
        assert found: "No files included in stash '${options.name}'"
        found.each { copy(new File(here(), it), new File(to, it)) }
    }

    def step_unstash(String name) {
        File from = new File(home, 'stash-' + name)

        if (!from.exists()) {
            throw new Aborted("No such saved stash '${name}'")
        }
        from.eachFileRecurse(groovy.io.FileType.FILES) { copy(it, new File(here(), from.toPath().relativize(it.toPath()) as String)) }
    }

    def step_archiveArtifacts(Map options) {
        List found = matching(options.artifacts, options.excludes ?: '')

        if (!found) {
            throw new Aborted('No artifacts found that match the file pattern "' + options.artifacts + '"')
        }
        found.each { copy(new File(here(), it), new File(home, 'archive/' + it)) }
        tell([archived: found.sort()])
    }

    /* It takes no report for new that is older than the build. */
    def step_junit(Map options) {
        int tests = 0, failed = 0

        matching(options.testResults, '').each {
            File file = new File(here(), it)
            if (file.lastModified() < build.startTimeInMillis - 3000) {
                throw new Aborted('Test reports were found but none of them are new')
            }
            def suites = new XmlSlurper().parse(file)
            tests += suites.depthFirst().findAll { it.name() == 'testcase' }.size()
            failed += suites.depthFirst().findAll { it.name() == 'failure' }.size()
        }
        tell([junit: [tests: tests, failed: failed]])
        if (failed) {
            build.result = 'UNSTABLE'
        }
    }

    /* `input` of the configuration says who answers what; "map" is how Jenkins answers if more is asked for. */
    def step_input(Map question) {
        tell([input: question, isOnNode: frames.any { it.cwd }])
        say question.message + '\nProceed or Abort'
        if (config.input.reject) {
            throw new Interrupted("Rejected by ${config.input.reject}")
        }
        return config.input.as == 'map' ? [(question.submitterParameter): config.input.by] : config.input.by
    }

    // ---- sh, as durable-task does it ---------------------------------------------------------------

    def step_sh(Map options, int number) {
        File control = new File(home, "durable-${number}")
        boolean isNew = control.mkdirs()

        if (options.label) {
            say "[Pipeline] sh (${options.label})"
        }
        if (isNew) {
            launch(control, options.script)
        }
        int status = follow(control)
        if (!options.returnStatus && status != 0) {
            throw new Aborted("script returned exit code ${status}")
        }
        return status
    }

    void launch(File control, String text) {
        File script = new File(control, 'script.sh')
        String shell = text.startsWith('#!') ? '' : 'sh -xe '

        script.setText(text, 'UTF-8')
        script.setExecutable(true)
        def process = new ProcessBuilder('setsid', '-f', 'sh', '-c', """
            cp '${script}' '${script}.copy'
            jsc=${cookie(control)}; JENKINS_SERVER_COOKIE=\$jsc ${shell}'${script}.copy' >'${control}/log' 2>&1
            echo \$? >'${control}/${KEEP}.tmp'; mv '${control}/${KEEP}.tmp' '${control}/${KEEP}'""".toString())
        process.environment().clear()
        process.environment().putAll(variables())
        process.directory(here())
        process.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.to(new File(control, 'wrapper')))
        process.redirectInput(new File('/dev/null'))
        process.start().waitFor()
    }

    String cookie(File control) {
        return "durable-${control.path.hashCode()}-${control.name}"
    }

    int follow(File control) {
        File log = new File(control, 'log'), result = new File(control, KEEP), read = new File(control, 'read')
        String seen = ''

        for (;;) {
            boolean isOver = result.exists()
            byte[] all = log.exists() ? log.bytes : new byte[0]
            int from = read.exists() ? read.text as int : 0
            int to = isOver ? all.length : lastLine(all)

            if (to > from) {
                String piece = new String(all, from, to - from, 'UTF-8')
                seen += piece
                say piece.endsWith('\n') ? piece.substring(0, piece.length() - 1) : piece
                read.text = to as String
            }
            if (isOver) {
                return result.text.trim() as int
            }
            if (is(config.loseAt, seen)) {
                config.loseAt = null
                end(control, 'KILL')
                say 'wrapper script does not seem to be touching the log file'
                return -1
            }
            if (is(config.abortAt, seen)) {
                end(control, 'TERM')
                end(control, 'TERM')
                throw new Interrupted('Aborted by bob')
            }
            sleep 20
        }
    }

    static boolean is(String pattern, String seen) {
        return pattern && Pattern.compile(pattern).matcher(seen).find()
    }

    static int lastLine(byte[] bytes) {
        int n = bytes.length

        while (n > 0 && bytes[n - 1] != 10) {
            n--
        }
        return n
    }

    /* Whatever has the cookie, children first. */
    void end(File control, String signal) {
        byte[] wanted = "JENKINS_SERVER_COOKIE=${cookie(control)}".bytes
        List pids = new File('/proc').list().findAll { it.isInteger() }.findAll {
            try {
                new String(new File("/proc/${it}/environ").bytes, 'ISO-8859-1').contains(new String(wanted, 'ISO-8859-1'))
            } catch (IOException e) {
                false
            }
        }

        pids.sort { -(it as int) }.each { ['kill', "-${signal}", it].execute().waitFor() }
    }

    // ---- files -------------------------------------------------------------------------------------

    List matching(String includes, String excludes) {
        List wanted = includes.split(',').collect { ant(it) }, unwanted = excludes.split(',').findAll().collect { ant(it) }
        List found = []
        File root = here()

        if (root.exists()) {
            root.eachFileRecurse(groovy.io.FileType.FILES) {
                String name = root.toPath().relativize(it.toPath()) as String
                if (wanted.any { p -> name ==~ p } && !unwanted.any { p -> name ==~ p }) {
                    found.add(name)
                }
            }
        }
        return found
    }

    static String ant(String pattern) {
        String open = pattern.replace('.', '\\.').replace('**/', '\u0001').replace('**', '\u0002').replace('*', '[^/]*')

        return open.replace('\u0001', '(.*/)?').replace('\u0002', '.*')
    }

    static void copy(File from, File to) {
        to.parentFile.mkdirs()
        to.bytes = from.bytes
    }
}
